"""Boxes or whole images: pretraining on 2,400 annotated boxes or on the 2,400 whole images, tested
on whole scenes (dense retrieval) and on objects cut out (kNN), so that either arm has a test that
looks like its own data; and the invariances of both.

Launch:   python tools/compare.py configs/comparisons/boxes.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     budget
"""

_base_ = "scenes.py"
title = "Scenes: whole images or boxes, at equal image count"
prepare = dict(
    scenes=dict(out="data/scenes", images=3000, size=96, seed=0),
    factors=dict(out="data/factors", factors=10),
)
overrides = {"source.count": 2400}  # all of the whole images
arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    SimCLR_images=dict(config="configs/quick/simclr_scenes64.py"),
    SimCLR_boxes=dict(config="configs/quick/boxes_scenes64.py"),
    PixPro_images=dict(),
    PixPro_boxes=dict(
        config="configs/quick/boxes_scenes64.py",
        overrides={"model.objectives": [dict(type="PixPro", hidden=256, dim=128)]},
    ),
)
benchmarks = dict(
    invariances=dict(
        type="invariances",
        data=dict(type="ImageSets", root="data/factors", layout="scenes"),
        size=64,
    ),
)
columns = (
    "retrieval.mIoU",
    "retrieval.pixel_accuracy",
    "knn.top1",
    "invariances.occlusion_top10",
    "invariances.viewpoint_top10",
    "invariances.instance_top10",
)
