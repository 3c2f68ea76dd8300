"""Linear segmentation of ADE20K with DINOv2's recipe "+ms": four layers, crops of 640 pixels, five
scales and mirror images at test. The stride of its windows is not confirmed, so its rows are shown
and not compared.

Launch:   pixelpretext evaluate BACKBONE --preset dinov2-ms-ade --data ade20k:ROOT
Hardware: one GPU; at test an image of 4:3 is encoded in 158 windows, mirrored ones counted
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set "dinov2-ms-ade.scales=(1.0,)" tests one scale
"""

_base_ = "dinov2-linear-ade.py"
title = "ADE20K by a linear layer on four layers, five scales, DINOv2's recipe +ms"
normalisation = ("weights", "V2: ImageNet's, which the weights have", "colours not trained with")
features = dict(
    layers=((-4, -3, -2, -1), "V2: the last four, each normed", "features of other layers"),
    positions=(
        "factor",
        "V2: its own rule for networks without registers",
        "timm's rule: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("centre", "V2: zeros around every window, 640 becomes 644", "another place of the cells"),
)
input = dict(
    size=((640, 640), "V2: crop and window", "another crop and window"),
    short_side=(640, "V2: configuration", "another scale of all objects"),
    long_side=(2560, "ours: four times the short side, as at 512", "very long images"),
)
predict = dict(
    window_stride=(320, "V2: copies of the configuration, not confirmed", "other windows"),
    small_images=("whole", "V2: slide of mmsegmentation", "nothing: no side is below 640 here"),
    scales=(
        (1.0, 1.32, 1.73, 2.28, 3.0),
        "V2: configuration, class probabilities averaged",
        "fewer scales give less",
    ),
    flip_test=(True, "V2: configuration", "no mirror images give less"),
)
_row = dict(
    metric="mIoU",
    source="V2: MODEL_CARD",
    kind="authors",
    comparable="the stride of the windows is not confirmed",
)
published = [
    dict(model="vit_small_patch14_dinov2.lvd142m", value="47.2", **_row),
    dict(model="vit_base_patch14_dinov2.lvd142m", value="51.3", **_row),
    dict(model="vit_large_patch14_dinov2.lvd142m", value="53.1", **_row),
    dict(model="vit_giant_patch14_dinov2.lvd142m", value="53.0", **_row),
]
