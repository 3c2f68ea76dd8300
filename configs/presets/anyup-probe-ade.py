"""The linear probe that upsamplers are compared by, with AnyUp's schedule, on ADE20K: a step per
epoch, from the peak to nearly 0. The code of its evaluation is not released, so the rows of its
paper are shown and not compared.

Launch:   pixelpretext evaluate BACKBONE --preset anyup-probe-ade --data ade20k:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by AnyUp's authors
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-ade.py"
title = "ADE20K by the probe of upsamplers, AnyUp's schedule, label 0 counted"
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
    dict(value="40.54", upsampler="bilinear", **_row),
    dict(value="42.19", upsampler="FeatUp", **_row),
    dict(value="42.02", upsampler="LoftUp", **_row),
    dict(value="42.06", upsampler="JAFAR", **_row),
    _row | dict(value="42.43", upsampler="AnyUp", kind="authors"),
]
