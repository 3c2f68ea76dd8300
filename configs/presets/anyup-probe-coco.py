"""The linear probe that upsamplers are compared by, with AnyUp's schedule, on COCO-Stuff in 27
classes: a step per epoch, from the peak to nearly 0. The code of its evaluation is not released, so
the rows of its paper are shown and not compared.

Launch:   pixelpretext evaluate BACKBONE --preset anyup-probe-coco --data coco-stuff-27:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by AnyUp's authors
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-coco.py"
title = "COCO-Stuff in 27 classes by the probe of upsamplers, AnyUp's schedule"
sources = dict(
    ANY="wimmerth/anyup, commit 351807a of April 2026; its evaluation code is not released"
)
train = dict(
    schedule=("cosine-epochs", "ANY: README, ½(1 + cos(πe/20)) in epoch e", "other last steps"),
)
_row = dict(
    model="vit_small_patch14_dinov2.lvd142m",
    metric="mIoU",
    source="ANY: paper, Table 2",
    kind="reproduction",
    comparable="the code of AnyUp's evaluation is not released",
)
published = [
    dict(value="59.48", upsampler="bilinear", **_row),
    dict(value="61.95", upsampler="FeatUp", **_row),
    dict(value="62.15", upsampler="LoftUp", **_row),
    dict(value="61.82", upsampler="JAFAR", **_row),
    _row | dict(value="62.16", upsampler="AnyUp", kind="authors"),
]
