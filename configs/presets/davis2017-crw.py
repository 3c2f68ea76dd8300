"""Masks of DAVIS-2017 carried through its videos by frozen features, as the contrastive random walk
does it.

Launch:   pixelpretext evaluate BACKBONE --preset davis2017-crw --data davis2017:ROOT
Hardware: one GPU; a frame at stride 8 compares 6,360 cells with 15,100 each
Result:   not reproduced by us; the rows below are published by the authors
Knob:     the published network has stride 8: "resnet18.pth?backbone=resnet18&output_stride=8"
"""

_base_ = "davis2017-dino.py"
title = "DAVIS-2017 val, masks carried by the nearest cells of the first and the last 20 frames"
sources = dict(
    _delete_=True,
    C="ajabri/videowalk, commit 047f3f4 of December 2021, MIT",
    V="davisvideochallenge/davis2017-evaluation, commit ac7c43f of February 2023, BSD-3",
    ours="a choice of this project",
)
data = dict(
    layout=("davis2017", "C: README", "another data set"),
    split=("val", "C: README", "other videos"),
)
normalisation = (
    "weights",
    "C: vos.py has ImageNet's",
    "colours that the network was not trained with",
)
features = dict(
    layers=((-1,), "ours: of a network cut to stride 8; C: layer3", "features of another layer"),
    norm=(False, "C: ResNets have no norm at their end", "nothing, for a ResNet"),
    class_token=("none", "C: ResNets have none", "cells would also be matched by their frames"),
    positions=("timm", "C: ResNets have none", "another resampling of the positions"),
    stride=(None, "C: the network's own", "another number of cells per frame"),
)
input = dict(
    short_side=(None, "C: README, the frames' own size", "a finer or coarser grid"),
    long_multiple=(1, "C: README, the frames' own size", "frames that are squeezed"),
)
predict = dict(
    last_frames=(20, "C: README", "older or fewer frames give their labels"),
    copies=(True, "C: test.py", "the first frame counts less in the first 20"),
    radius=(12, "C: README", "objects that move faster, or more mistakes"),
    shape=("disc", "C: closer than the radius", "with the corners of the neighbourhood"),
    first_everywhere=(True, "C: test_utils.py", "objects far from where they began are lost"),
    neighbours=(10, "C: README", "labels of fewer or more cells are averaged"),
    ties=(False, "C: test_utils.py", "copies of a cell count together"),
    temperature=(0.05, "C: README", "flatter or sharper weights"),
    stretch=(False, "C: test.py, off by default", "small objects gain against the background"),
)
fixed = dict(
    _delete_=True,
    resize=("bilinear without antialiasing, by OpenCV", "ours"),
    first_mask=("the label under the centre of each cell", "ours"),
    pixels=("soft labels bilinear, the largest", "C: test_utils.py"),
    scored=("all frames but the first and the last one; void is background", "V: the code"),
    mean=("over all objects of all videos together", "V: the code"),
)
tolerance = {
    "J_and_F": 0.5,
    "J": 0.5,
    "F": 0.5,
    "J_recall": 0.5,
    "J_decay": 0.5,
    "F_recall": 0.5,
    "F_decay": 0.5,
}
deviations = (
    "Sides are cut down to multiples of the stride (854 to 848 pixels); the source encodes frames "
    "as they are.",
    "The source reads the third of four stages of its ResNet-18, ours the last one of a network.",
    "The source resizes the first mask bilinearly to soft labels, ours takes the label under the "
    "centre of each cell.",
)
_row = dict(
    model="CRW ResNet-18",
    source="C: README",
    kind="authors",
    comparable="its features are those of another stage, and its first mask is resized softly",
)
published = [
    dict(metric="J_and_F", value="67.6", **_row),
    dict(metric="J", value="64.6", **_row),
    dict(metric="J_recall", value="75.8", **_row),
    dict(metric="J_decay", value="20.3", **_row),
    dict(metric="F", value="70.6", **_row),
    dict(metric="F_recall", value="83.2", **_row),
    dict(metric="F_decay", value="24.7", **_row),
]
