"""The linear probe that upsamplers are compared by, with JAFAR's schedule, on the central squares
of Cityscapes.

Launch:   pixelpretext evaluate BACKBONE --preset jafar-probe-cityscapes --data cityscapes:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by JAFAR's authors
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-voc.py"
title = "Cityscapes by the probe of upsamplers, JAFAR's schedule"
data = dict(
    layout=("cityscapes", "JAF: data set", "another data set"),
    train=("train", "JAF: data set", "another train part"),
    keep_ignored=(False, "JAF: 19 classes", "what is not evaluated would be a class"),
)
counts = dict(
    train_images=(2_975, "JAF: data set"),
    val_images=(500, "JAF: data set"),
    classes=(19, "JAF: data set"),
)
_row = dict(
    model="vit_small_patch14_dinov2.lvd142m",
    metric="mIoU",
    source="JAF: README",
    kind="reproduction",
)
published = [
    dict(value="59.37", **_row),
    dict(value="59.37", upsampler="bilinear", **_row),
    dict(value="56.06", upsampler="FeatUp", **_row),
    dict(value="58.75", upsampler="LiFT", **_row),
    _row | dict(value="61.47", upsampler="JAFAR", kind="authors"),
]
