"""The linear probe that upsamplers are compared by, with JAFAR's schedule, on the 27 coarse classes
of COCO-Stuff. How many images its data set has is not confirmed, so its rows are shown and not
compared.

Launch:   pixelpretext evaluate BACKBONE --preset jafar-probe-coco --data coco-stuff-27:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by JAFAR's authors
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-voc.py"
title = "COCO-Stuff in 27 classes by the probe of upsamplers, JAFAR's schedule"
data = dict(
    layout=("coco-stuff-27", "JAF: data set", "another data set"),
    train=("train", "JAF: data set", "another train part"),
    keep_ignored=(False, "JAF: pixels of 255 are left out", "they would be a class"),
)
counts = dict(
    train_images=(118_287, "ours: all of train2017"),
    val_images=(5_000, "ours: all of val2017"),
    classes=(27, "JAF: data set"),
)
_row = dict(
    model="vit_small_patch14_dinov2.lvd142m",
    metric="mIoU",
    source="JAF: README",
    kind="reproduction",
    comparable="how many images of COCO-Stuff its data set has is not confirmed",
)
published = [
    dict(value="59.03", **_row),
    dict(value="59.03", upsampler="bilinear", **_row),
    dict(value="60.10", upsampler="FeatUp", **_row),
    dict(value="58.18", upsampler="LiFT", **_row),
    _row | dict(value="60.78", upsampler="JAFAR", kind="authors"),
]
