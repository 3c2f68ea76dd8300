"""Real photos: pretraining on Caltech-101, dense retrieval on CamVid in two protocols, kNN on
held-back Caltech images.

The photos are downloaded to data/real (some 320 MB; docs/data.md, "Photos for the comparisons").
Caltech's background folder is left out, and a fifth of each class is never pretrained on. CamVid's
val part is 101 frames of one drive, 0016E5, as are 204 of its 367 train images. `retrieval` is the
usual protocol, whose memory holds these neighbours in time; that of `other_drives` holds only the
163 train images of the drives 0001TP and 0006R0. Only what holds in both says something of streets
that were not seen.

Launch:   python tools/compare.py configs/comparisons/real.py
Hardware: 2 CPU cores, 16 minutes without `other_drives`
Result:   docs/results.md; our own recipe
Knob:     budget
"""

title = "Real photos: Caltech-101 → CamVid"
_root = "data/real"
prepare = dict(
    caltech101=dict(out=f"{_root}/caltech101", held_back=0.2), camvid=dict(out=f"{_root}/camvid")
)

base = "configs/quick/scenes64.py"
# Photos keep the jitter and greyscale of PixPro: their colours do tell something of what they show.
_photos = {
    "jitter": dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    "grey": 0.2,
}
overrides = {
    "source": dict(_delete_=True, type="ImageFolder", root=f"{_root}/caltech101/train"),
    **{
        f"views.groups.global.{view}.{key}": value
        for view in (0, 1)
        for key, value in _photos.items()
    },
}
budget = dict(samples=24_000)
seeds = (0, 1, 2)
arms = dict(
    random=dict(train=False),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    PixContrast=dict(config="configs/quick/pixcontrast_scenes64.py"),
    PixPro=dict(),
)

_retrieval = dict(
    size=(192, 256), neighbours=30, temperature=0.02, memory_size=102_400, passes=1, augment=False
)
_camvid = dict(type="SegmentationFolder", root=f"{_root}/camvid", layout="camvid")
benchmarks = dict(
    retrieval=dict(type="retrieval", data=_camvid, **_retrieval),
    other_drives=dict(
        type="retrieval", data=dict(**_camvid, train_exclude=("0016E5_*",)), **_retrieval
    ),
    knn=dict(type="knn", data=dict(type="ClassFolder", root=f"{_root}/caltech101"), size=112),
)
primary = "retrieval.mIoU"
columns = ("retrieval.mIoU", "other_drives.mIoU", "knn.top1")
_dense = ("retrieval", "other_drives")
baselines = dict(
    majority=dict(benchmark=(*_dense, "knn"), stride=8),
    position=dict(benchmark=_dense, stride=8),
    colour_position=dict(benchmark=_dense, stride=8),
    pixels=dict(benchmark="knn"),
)
pictures = dict(folder=f"{_root}/camvid/val", count=6, size=192)
next_step = "or copy this config, point source.root at your own images and give it a larger budget"
