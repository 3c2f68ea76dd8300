"""SPair-71k as ViT-Up evaluates upsampled features: 448 letterboxed, maps of 112 × 112, points per
class, mean of the classes.

Launch:   pixelpretext evaluate BACKBONE --preset spair-vitup --data spair:ROOT
Hardware: one GPU
Result:   not reproduced by us; nothing is published in the source that we could read
Knob:     --upsampler SPEC, once for each; size=1024,1024 is the source's other size
"""

_base_ = "spair-insid3.py"
title = "SPair-71k, all test pairs, nearest of 112 × 112 upsampled cells, points per class"
sources = dict(VUP="vit-up, commit 9a74487 of June 2026, no licence: facts and numbers only")
data = dict(per_category=(0, "VUP: all pairs", "a sample"))
normalisation = ("weights", "ours", "colours of other weights")
features = dict(
    norm=(True, "ours: as the upsampler probes have it", "features without the norm"),
    positions=("timm", "ours: as the network does it itself", "another resampling of positions"),
    pad=("refuse", "ours: 448 is whole patches of 14 and of 16", "cells that are padding"),
    stride=(None, "ours: the network's own", "another number of cells"),
)
input = dict(
    size=((448, 448), "VUP: 448 or 1 024", "a finer or coarser grid"),
    fit=("letterbox", "VUP: a padded square; where the padding lies is not confirmed", "aspect"),
    fill=(0, "ours: not stated", "other borders"),
    resample=("bilinear", "ours: not stated", "other pixels"),
)
predict = dict(
    source=("cell", "VUP: ⌊⌋", "rounded is half a cell off"),
    answer=("nearest", "VUP", "soft answers between cells"),
    place=("centre", "VUP", "corner is half a cell off"),
    temperature=(0.02, "ours: not read", "nothing without soft"),
    gauss=(0.0, "ours: not read", "nothing without soft"),
    upsampled_stride=(4, "VUP: maps of 112 × 112", "a finer or coarser upsampled map"),
)
score = dict(
    relative_to=("box", "VUP", "image: from .667 to .917 for one set of errors"),
    frame=("image", "ours: with one scale the same in both frames", "nothing but rounding"),
    strict=(False, "VUP: ≤", "from .667 to .583 for one set of errors"),
    average=("category-of-points", "VUP: points per class, mean of 18", "per pair: .722 for .667"),
    alphas=((0.1, 0.05, 0.01), "VUP", "other columns"),
)
tolerance = dict(_delete_=True, **{"PCK@0.1": 0.5, "PCK@0.05": 0.5, "PCK@0.01": 0.5})
published = []
