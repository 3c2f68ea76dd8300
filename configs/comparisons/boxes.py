# Boxes or whole images: pretraining on 2,400 annotated boxes or on the 2,400 whole images, tested on whole scenes
# (dense retrieval) and on objects cut out (kNN), so that either arm has a test that looks like its own data.
#
#   python tools/compare.py configs/comparisons/boxes.py
#
# Hardware: 2 CPU cores. Expected result: none measured. Status: our own recipe. Knob people ask for: budget.
title = "Scenes: whole images or boxes, at equal image count"
_root = "data/scenes"
prepare = dict(scenes=dict(out=_root, images=3000, size=96, seed=0))

base = "configs/quick/scenes64.py"
overrides = {"source.count": 2400}  # all of the whole images
budget = dict(samples=20_000)
seeds = (0, 1, 2)
arms = {
    "untrained": dict(train=False),
    "SimCLR_images": dict(config="configs/quick/simclr_scenes64.py"),
    "SimCLR_boxes": dict(config="configs/quick/boxes_scenes64.py"),
    "PixPro_images": dict(),
    "PixPro_boxes": dict(
        config="configs/quick/boxes_scenes64.py",
        overrides={"model.objectives": [dict(type="PixPro", hidden=256, dim=128)]},
    ),
}

_retrieval = dict(size=(96, 96), neighbours=30, temperature=0.02, memory_size=102_400, passes=1, augment=False)
benchmarks = dict(
    retrieval=dict(type="retrieval", data=dict(type="SegmentationFolder", root=_root, layout="scenes"), **_retrieval),
    knn=dict(type="knn", data=dict(type="ClassFolder", root=f"{_root}/crops"), size=64),
)
primary = "retrieval.mIoU"
columns = ("retrieval.mIoU", "retrieval.pixel_accuracy", "knn.top1")
baselines = dict(majority=dict(type="majority", benchmark="retrieval", stride=8))
