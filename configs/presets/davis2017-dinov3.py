"""Masks of DAVIS-2017 carried through its videos as DINOv3's notebook does it. The protocol of its
model card is not confirmed, so the card's numbers are shown and not compared.

Launch:   pixelpretext evaluate BACKBONE --preset davis2017-dinov3 --data davis2017:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set davis2017-dinov3.short_side=480 takes a quarter of the cells
"""

_base_ = "davis2017-dino.py"
title = "DAVIS-2017 val at 960 pixels, masks carried within a disc"
sources = dict(
    _delete_=True,
    N="facebookresearch/dinov3, commit 6876159 of July 2026, own licence; its notebook",
    M="facebookresearch/dinov3, MODEL_CARD.md of the same commit",
    V="davisvideochallenge/davis2017-evaluation, commit ac7c43f of February 2023, BSD-3",
    ours="a choice of this project",
)
data = dict(layout=("davis2017", "ours", "another data set"), split=("val", "ours", "other videos"))
normalisation = ("weights", "ours", "colours that the network was not trained with")
features = dict(
    layers=((-1,), "ours: the last block", "features of another layer"),
    norm=(True, "ours", "features without the norm"),
    class_token=("none", "ours", "cells would also be matched by their frames"),
    positions=("timm", "N: rotary, which follow the size", "nothing"),
    stride=(None, "N: the network's own", "another number of cells per frame"),
)
input = dict(
    short_side=(960, "N: the notebook", "a finer or coarser grid"),
    long_multiple=(1, "N: whole patches alone", "frames that are squeezed more"),
)
predict = dict(
    last_frames=(7, "N: the notebook", "older or fewer frames give their labels"),
    copies=(False, "ours", "the first frame counts more in the first 7"),
    radius=(12, "N: the notebook", "objects that move faster, or more mistakes"),
    shape=("disc", "N: the notebook", "with the corners of the neighbourhood"),
    first_everywhere=(False, "ours", "objects far from where they began are found again"),
    neighbours=(5, "N: the notebook", "labels of fewer or more cells are averaged"),
    ties=(True, "ours", "differs where cells are equally similar"),
    temperature=(0.2, "N: the notebook", "flatter or sharper weights"),
    stretch=(True, "ours", "small objects lose to the background"),
)
fixed = dict(
    _delete_=True,
    resize=("bilinear without antialiasing, by OpenCV", "ours"),
    first_mask=("the label under the centre of each cell", "ours"),
    scored=("all frames but the first and the last one; void is background", "V: the code"),
    mean=("over all objects of all videos together", "V: the code"),
)
deviations = (
    "The notebook resizes bicubically, and sides up to multiples of 16; here they are cut down.",
)
_row = dict(
    metric="J_and_F",
    source="M: its table",
    kind="authors",
    comparable="the protocol behind the card's numbers is not confirmed",
)
published = [
    dict(model="vit_small_patch16_dinov3.lvd1689m", value="72.7", **_row),
    dict(model="vit_small_plus_patch16_dinov3.lvd1689m", value="75.5", **_row),
    dict(model="vit_base_patch16_dinov3.lvd1689m", value="77.2", **_row),
    dict(model="vit_large_patch16_dinov3.lvd1689m", value="79.9", **_row),
    dict(model="vit_huge_plus_patch16_dinov3.lvd1689m", value="79.3", **_row),
    dict(model="vit_7b_patch16_dinov3.lvd1689m", value="79.7", **_row),
]
