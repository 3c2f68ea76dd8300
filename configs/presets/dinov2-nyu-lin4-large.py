"""Depth on NYUv2 by a linear head on four layers, as DINOv2's model card has it; ViT-L.

Launch:   pixelpretext evaluate BACKBONE --preset dinov2-nyu-lin4-large --data nyu:ROOT
Hardware: one GPU; 38,400 steps of 16 crops, and 48 looks at the 654 test images
Result:   not reproduced by us; the row below is the authors' and not compared
Knob:     dinov2-nyu-lin4 takes the layers of S and B, dinov2-nyu-lin4-giant those of g
"""

_base_ = "dinov2-nyu-lin4.py"
title = "NYUv2 depth by a linear head, four layers of a ViT-L, best of 48 looks"
features = dict(
    layers=((4, 11, 17, 23), "V2: config of linear4 for L", "features of other layers"),
)
_row = dict(
    metric="RMSE",
    source="V2: MODEL_CARD",
    kind="authors",
    comparable="the learning rate of this head is not confirmed",
)
published = [dict(model="vit_large_patch14_dinov2.lvd142m", value=".333", **_row)]
