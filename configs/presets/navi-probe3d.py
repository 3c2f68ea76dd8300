"""NAVI as Probe3D evaluates it: points of an object found again in another view, in 3-D.

Launch:   pixelpretext evaluate BACKBONE --preset navi-probe3d --data navi:ROOT
Hardware: one GPU; matching takes up to 16,384² products of features per pair
Result:   not reproduced by us; nothing is published in its README
Knob:     navi:ROOT?partners=wild
"""

version = 1
title = "NAVI, matches of two views in 3-D, by the angle between them"
benchmark = "matching"
sources = dict(
    P3D="mbanani/probe3d, commits a1f1464 of December 2025 and 1fff822, MIT; its helper of "
    "matching CC BY-NC, facts only",
    V3="facebookresearch/dinov3, commit 6876159 of July 2026, its model card",
    ours="a choice of this project",
)
data = dict(
    layout=("navi", "P3D: NAVI 1.0", "another data set"),
    every=(4, "P3D: every 4th photo of the wild set", "other pairs"),
    partners=("multiview", "P3D: views of the multiview sets", "wild: photos in the wild"),
    max_angle=(120.0, "P3D: max_angle", "pairs that share less"),
    seed=(8, "P3D: torch.manual_seed(8)", "other partners"),
)
counts = dict(every=(4, "P3D: every 4th photo; how many pairs that makes is not published"))
normalisation = ("weights", "P3D: ImageNet's or CLIP's", "colours of other weights")
features = dict(
    layers=((-1,), "P3D: the last block, multilayer False", "features of another layer"),
    norm=(False, "P3D: tokens behind the block", "features with the final norm"),
    class_token=("none", "P3D: dense output", "cells would also be matched by their images"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=("factor", "P3D: DINO's and DINOv2's own code", "another resampling of positions"),
    pad=("centre", "P3D: zeros on both sides up to whole patches", "512 is none of 14"),
    stride=(None, "P3D: the network's own", "another number of cells"),
)
input = dict(
    size=((512, 512), "P3D: image_size", "a finer or coarser grid"),
    copy_side=(1024, "P3D: resize_navi.py, photos of shorter side 1 024", "other pixels"),
)
predict = dict(
    stride=(4, "P3D: scale_factor 0.25 of 512", "fewer or more points"),
    matches=(1000, "P3D: num_corr", "matches of smaller weight"),
)
selection = "nothing is trained, so nothing is chosen"
tolerance = {"recall@2cm": 0.5}
deviations = (
    "The source lists objects and photos as their folders do, ours by name: other partners are "
    "drawn by the same seed.",
    "Where a network's input is padded, ours places its cells on the image; the source takes the "
    "padded map for the image.",
    "Of the source two commits were read; in the older one partners are other photos in the wild.",
)
_row = dict(
    metric="recall@2cm",
    source="V3: MODEL_CARD, column NAVI",
    kind="authors",
    comparable="neither code nor protocol is published",
)
published = [
    dict(model="vit_small_patch16_dinov3.lvd1689m", value="56.3", **_row),
    dict(model="vit_small_plus_patch16_dinov3.lvd1689m", value="57.1", **_row),
    dict(model="vit_base_patch16_dinov3.lvd1689m", value="58.8", **_row),
    dict(model="vit_large_patch16_dinov3.lvd1689m", value="62.3", **_row),
    dict(model="vit_huge_plus_patch16_dinov3.lvd1689m", value="63.3", **_row),
    dict(model="vit_7b_patch16_dinov3.lvd1689m", value="64.4", **_row),
]
