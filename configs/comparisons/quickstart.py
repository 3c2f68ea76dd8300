"""The first comparison: untrained, SimCLR, PixContrast and PixPro, two seeds each, on the embedded
data set "scenes".

Launch:   bash tools/quickstart.sh
          python tools/compare.py configs/comparisons/quickstart.py
Hardware: 2 CPU cores, at most 15 minutes
Result:   all three trained arms above the untrained network in dense retrieval mIoU;
          docs/results.md; our own recipe
Knob:     budget
"""

title = "Quickstart: dense features after a few minutes on generated scenes"
_root = "data/scenes_quick"
prepare = dict(scenes=dict(out=_root, images=1500, size=96, seed=0))

base = "configs/quick/scenes64.py"
overrides = {
    "source.annotations": f"{_root}/instances_train.json",
    "source.root": f"{_root}/images/train",
    "schedule.warmup_samples": 1_200,
}
budget = dict(samples=12_000)
seeds = (0, 1)
arms = dict(
    untrained=dict(train=False),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    PixContrast=dict(config="configs/quick/pixcontrast_scenes64.py"),
    PixPro=dict(),
)

_retrieval = dict(
    size=(96, 96), neighbours=30, temperature=0.02, memory_size=51_200, passes=1, augment=False
)
benchmarks = dict(
    retrieval=dict(
        type="retrieval",
        data=dict(type="SegmentationFolder", root=_root, layout="scenes"),
        **_retrieval,
    ),
)
primary = "retrieval.mIoU"
baselines = dict(
    majority=dict(type="majority", benchmark="retrieval", stride=8),
    colour_position=dict(type="colour_position", benchmark="retrieval", stride=8),
)
pictures = dict(folder=f"{_root}/images/val", count=8, size=96)
next_step = "then pixelpretext compare comparisons/scenes (six arms, three seeds, more data)"
