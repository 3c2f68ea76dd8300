"""What labels are worth, and how to use them: SupCon against cross-entropy, SimCLR and the
untrained network on the classes of Caltech-101. Each arm is pretrained; then a linear classifier
(the second stage of SupCon's protocol) and kNN are fitted to its frozen vectors of the training
photos and judged on a fifth of each class, never trained on.

The photos are downloaded to data/real, see docs/data.md.

Launch:   python tools/compare.py configs/comparisons/supcon.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     budget; loader.images_per_class of the last arm
"""

title = "Labels: SupCon, cross-entropy and SimCLR on Caltech-101"
_root = "data/real"
prepare = dict(caltech101=dict(out=f"{_root}/caltech101", held_back=0.2))

base = "configs/quick/scenes64.py"
# Photos keep the jitter and greyscale of PixPro: their colours do tell something of what they show.
_photos = {
    "jitter": dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    "grey": 0.2,
}
# 101 classes: in a batch of 16 an image would meet 0.15 others of its class, in 64 it meets 0.6.
# All arms get this batch, and the learning rate of batch 16 times the square root of 4.
overrides = {
    "source": dict(_delete_=True, type="ImageFolder", root=f"{_root}/caltech101/train"),
    "schedule.global_batch": 64,
    "schedule.lr": 2e-3,
    **{
        f"views.groups.global.{view}.{key}": value
        for view in (0, 1)
        for key, value in _photos.items()
    },
}
budget = dict(samples=24_000)
seeds = (0, 1, 2)
_supcon = "configs/quick/supcon_scenes64.py"
arms = dict(
    untrained=dict(train=False),
    CrossEntropy=dict(
        config="configs/quick/supervised_scenes64.py",
        overrides={"model.objectives.0.num_classes": 101},
    ),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    SupCon=dict(config=_supcon),
    # Sixteen classes of four images: each image meets three others of its class in every step.
    SupCon_balanced=dict(config=_supcon, overrides={"loader.images_per_class": 4}),
)

_data = dict(type="ClassFolder", root=f"{_root}/caltech101")
benchmarks = dict(
    linear=dict(type="linear", data=_data, size=112),
    knn=dict(type="knn", data=_data, size=112),
)
baselines = dict(
    majority=dict(benchmark=("linear", "knn")), pixels=dict(benchmark=("linear", "knn"))
)
primary = "linear.top1"
columns = ("linear.top1", "linear.top5", "knn.top1")
next_step = "or copy this config, point source.root and the benchmarks at your own class folders"
