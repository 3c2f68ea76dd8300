"""The linear probe that upsamplers are compared by, with JAFAR's schedule, on ADE20K: label 0 is
the 151st class, trained and scored.

Launch:   pixelpretext evaluate BACKBONE --preset jafar-probe-ade --data ade20k:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by JAFAR's authors
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-voc.py"
title = "ADE20K by the probe of upsamplers, JAFAR's schedule, label 0 counted"
data = dict(
    layout=("ade20k", "JAF: data set", "another data set"),
    train=("train", "JAF: data set", "another train part"),
    keep_ignored=(
        True,
        "JAF: released log, 151 classes",
        "150 classes, label 0 left out: another number",
    ),
)
counts = dict(
    train_images=(20_210, "JAF: data set"),
    val_images=(2_000, "JAF: data set"),
    classes=(151, "JAF: released log"),
)
_row = dict(
    model="vit_small_patch14_dinov2.lvd142m",
    metric="mIoU",
    source="JAF: README",
    kind="reproduction",
)
published = [
    dict(value="39.23", **_row),
    dict(value="39.23", upsampler="bilinear", **_row),
    dict(value="38.82", upsampler="FeatUp", **_row),
    dict(value="38.73", upsampler="LiFT", **_row),
    _row | dict(value="40.49", upsampler="JAFAR", kind="authors"),
]
