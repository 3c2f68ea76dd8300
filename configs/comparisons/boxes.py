"""Boxes or whole images: pretraining on 2,400 annotated boxes or on the 2,400 whole images, tested
on whole scenes (dense retrieval) and on objects cut out (kNN), so that either arm has a test that
looks like its own data.

Launch:   python tools/compare.py configs/comparisons/boxes.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     budget
"""

_base_ = "scenes.py"
title = "Scenes: whole images or boxes, at equal image count"
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
