"""Depth on NYUv2 by a linear head on four layers, as DINOv2's model card has it; ViT-S and ViT-B.

Launch:   pixelpretext evaluate BACKBONE --preset dinov2-nyu-lin4 --data nyu:ROOT
Hardware: one GPU; 38,400 steps of 16 crops, and 48 looks at the 654 test images
Result:   not reproduced by us; the rows below are the authors' and not compared
Knob:     dinov2-nyu-lin4-large and -giant take the layers of the larger networks
"""

_base_ = "dvt-nyu.py"
title = "NYUv2 depth by a linear head, four layers of a ViT-S or ViT-B, best of 48 looks"
sources = dict(
    V2="facebookresearch/dinov2, commit b8931f7 of August 2025, Apache-2.0, and mirrored configs",
)
normalisation = ("weights", "V2: ImageNet's", "colours that the weights never saw")
features = dict(
    layers=((2, 5, 8, 11), "V2: config of linear4 for S and B", "features of other layers"),
    norm=(False, "V2: the final norm is left out on purpose", "features of one scale"),
    class_token=("concatenate", "V2: class token in every cell", "no view of the whole image"),
    positions=(
        "factor",
        "V2: the rule of its networks without registers",
        "up to .07 of a unit sine at other sizes",
    ),
    pad=("centre", "V2: padded to the patch", "480 × 640 is refused for patches of 14"),
)
train = dict(
    lr=(1e-4, "V2: not confirmed for its linear heads on NYUv2", "faster or slower learning"),
)
predict = dict(
    select=("best", "V2: smallest AbsRel on the test images", "last chooses nothing on them"),
    look_every=(800, "ours: as Denoising ViT", "fewer or more weights to choose from"),
)
tolerance = dict(_delete_=True, RMSE=0.005)
_row = dict(
    metric="RMSE",
    source="V2: MODEL_CARD",
    kind="authors",
    comparable="the learning rate of this head is not confirmed",
)
published = [
    dict(model="vit_small_patch14_dinov2.lvd142m", value=".417", **_row),
    dict(model="vit_base_patch14_dinov2.lvd142m", value=".362", **_row),
]
