"""Six arms, three seeds on the embedded data set "scenes": the objectives with both their controls.

Launch:   python tools/compare.py configs/comparisons/scenes.py
Hardware: 2 CPU cores, about 25 minutes
Result:   three seeds, docs/results.md: every trained arm above the untrained network in dense
          retrieval; SimCLR and PixContrast, not apart, have the highest means; our own recipe
Knob:     budget
"""

title = "Scenes: pixel-level and image-level objectives under one budget"
_root = "data/scenes"
prepare = dict(scenes=dict(out=_root, images=3000, size=96, seed=0))

base = "configs/quick/scenes64.py"
budget = dict(samples=20_000)
seeds = (0, 1, 2)
arms = dict(
    untrained=dict(train=False),
    supervised=dict(config="configs/quick/supervised_scenes64.py"),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    BYOL=dict(config="configs/quick/byol_scenes64.py"),
    PixContrast=dict(config="configs/quick/pixcontrast_scenes64.py"),
    PixPro=dict(),
)

_retrieval = dict(
    size=(96, 96), neighbours=30, temperature=0.02, memory_size=102_400, passes=1, augment=False
)
benchmarks = dict(
    retrieval=dict(
        type="retrieval",
        data=dict(type="SegmentationFolder", root=_root, layout="scenes"),
        **_retrieval,
    ),
    # Every object cut out: what the pooled vector knows.
    knn=dict(type="knn", data=dict(type="ClassFolder", root=f"{_root}/crops"), size=64),
)
primary = "retrieval.mIoU"
columns = ("retrieval.mIoU", "retrieval.pixel_accuracy", "knn.top1")
baselines = dict(
    majority=dict(type="majority", benchmark="retrieval", stride=8),
    position=dict(type="position", benchmark="retrieval", stride=8),
    colour_position=dict(type="colour_position", benchmark="retrieval", stride=8),
)
pictures = dict(folder=f"{_root}/images/val", count=8, size=96)
next_step = "then pixelpretext compare comparisons/real, or copy this config and change its arms"
