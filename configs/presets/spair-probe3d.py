"""SPair-71k as Probe3D evaluates it: 200 pairs of each class, padded to a square of 800, nearest
cell, points per class, mean of the classes.

Launch:   pixelpretext evaluate BACKBONE --preset spair-probe3d --data spair:ROOT
Hardware: one GPU; on CPUs an hour for a ViT-B
Result:   not reproduced by us; nothing is published in its README
Knob:     spair:ROOT?viewpoint=0, 1 or 2, the source's other three columns
"""

_base_ = "spair-insid3.py"
title = "SPair-71k, 200 test pairs per class, nearest of cells, points per class"
sources = dict(P3D="mbanani/probe3d, commits a1f1464 of December 2025 and 1fff822, MIT")
data = dict(
    part=("test", "P3D: configs/spair_correspondence.yaml", "other pairs"),
    per_category=(200, "P3D: num_instances", "0 takes all pairs"),
    seed=(20, "P3D: random.seed(20), then shuffle", "another sample"),
    viewpoint=(None, "P3D: its column all", "0, 1 and 2 are its other columns"),
)
counts = dict(pairs=(3_600, "P3D: 200 of each of 18 classes"))
normalisation = ("weights", "P3D: ImageNet's or CLIP's", "colours of other weights")
features = dict(
    layers=((-1,), "P3D: the last block, multilayer False", "features of another layer"),
    norm=(False, "P3D: tokens behind the block", "features with the final norm"),
    positions=("factor", "P3D: DINO's and DINOv2's own code", "another resampling of positions"),
    pad=("centre", "P3D: zeros on both sides up to whole patches", "800 is none of 14"),
    stride=(None, "P3D: the network's own", "another number of cells"),
)
input = dict(
    size=((800, 800), "P3D: image_size", "a finer or coarser grid"),
    fit=("corner", "P3D: padded to a square at the right and below", "squash changes the aspect"),
    fill=(255, "P3D: padded by 255", "other borders"),
    resample=("bicubic", "P3D", "other pixels"),
)
predict = dict(
    source=("bilinear-corners", "P3D: grid_sample, align_corners=True", "up to half a cell off"),
    answer=("nearest", "P3D: argmax", "soft answers between cells"),
    place=("corner", "P3D: index / w, no half cell added", "centre is half a cell further"),
    temperature=(0.02, "ours: not read", "nothing without soft"),
    gauss=(0.0, "ours: not read", "nothing without soft"),
)
score = dict(
    relative_to=("box", "P3D", "image: from .583 to .75 for one set of errors"),
    frame=("image", "P3D: sides of the square and of the box in one unit", "nothing but rounding"),
    strict=(True, "P3D: <", "from .583 to .667 for one set of errors"),
    average=("category-of-points", "P3D: points pooled per class, mean of classes", "per pair"),
    alphas=((0.1,), "P3D: 0.10", "other columns"),
)
tolerance = dict(_delete_=True, **{"PCK@0.1": 0.5})
deviations = (
    "The source shuffles pairs in the order in which their folder lists them, ours in that of the "
    "published list: another sample of the same size.",
    "Where a network's input is padded, ours places its cells on the image and never answers with "
    "padding; the source takes the padded map for the image.",
)
published = []
