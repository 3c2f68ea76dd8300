"""PF-WILLOW as this project has measured it from the start: every ordered pair of two images of a
subset, nearest cell, shares of a pair, then of pairs.

Launch:   pixelpretext evaluate BACKBONE --preset pf-willow --data pfwillow:ROOT
Hardware: a CPU; minutes
Result:   not reproduced by us: the row below is another method's, a bound of what is sane
Knob:     --upsampler SPEC, which PCK@0.05 shows most of
"""

version = 1
title = "PF-WILLOW by the nearest cell, 224 × 224, per pair"
benchmark = "correspondence"
sources = dict(
    ours="a choice of this project, that of its results",
    HPF="juhongm999/hpf, commit 5a72968 of November 2023, Apache-2.0",
)
data = dict(
    layout=("pfwillow", "ours: every ordered pair of two images of a subset", "another data set"),
    per_category=(0, "ours: all pairs", "a sample"),
)
counts = dict(
    pairs=(540, "ours: the six subsets of our results, car and winebottle"),
    images=(60, "ours: ten of each subset"),
)
normalisation = ("weights", "ours", "colours that the network was not trained with")
features = dict(
    layers=((-1,), "ours: the last", "features of another layer"),
    norm=(True, "ours: features as timm's ViTs return them", "features without the norm"),
    class_token=("none", "ours: patches only", "cells would also be matched by their images"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=("timm", "ours: as the network does it itself", "another resampling of positions"),
    pad=("refuse", "ours: 224 is whole patches of 8, 14, 16 and 32", "cells that are padding"),
    stride=(None, "ours: the network's own", "another number of cells"),
)
input = dict(
    size=((224, 224), "ours", "a finer or coarser grid"),
    fit=("squash", "ours", "letterbox keeps the aspect and loses cells to the filling"),
    fill=(0, "ours: nothing is filled", "nothing"),
    resample=("bilinear", "ours", "other pixels"),
)
predict = dict(
    source=("cell", "ours: the cell that holds the point", "rounded is half a cell off"),
    answer=("nearest", "ours", "soft answers between cells"),
    place=("centre", "ours", "corner is half a cell off"),
    temperature=(0.02, "ours: not read", "nothing without soft"),
    window=(0, "ours: not read", "nothing without soft"),
    outside=("excluded", "ours: not read", "nothing without soft"),
    gauss=(0.0, "ours: not read", "nothing without soft"),
    flip=(False, "ours", "features of two views"),
    upsampled_stride=(2, "ours", "a finer or coarser upsampled map"),
)
score = dict(
    relative_to=(
        "box",
        "ours: the box around the target's points",
        "image: 44.7 instead of 32.2 for the identity map",
    ),
    frame=("image", "ours: pixels of the target image", "input weighs the squashed axes unequally"),
    strict=(False, "HPF: ≤", "points at exactly α·L"),
    average=("image", "HPF: per pair, then pairs", "others weigh pairs by points or subsets"),
    alphas=((0.1, 0.05, 0.15), "HPF: 0.1 is the published one", "other columns"),
)
selection = "nothing is trained, so nothing is chosen"
tolerance = {"PCK@0.1": 0.5, "PCK@0.05": 0.5, "PCK@0.15": 0.5}
deviations = ()
published = [
    dict(
        model="hyperpixels of resnet101 (ImageNet)",
        metric="PCK@0.1",
        value="74.4",
        source="HPF: README",
        kind="authors",
        comparable="it is another method, with layers chosen on validation pairs, on its own list "
        "of pairs",
    ),
]
