"""Linear segmentation of VOC 2012 as in the tables of the NeCo family, for networks with registers,
whose positions follow another rule.

Launch:   pixelpretext evaluate BACKBONE --preset neco-linear-voc-registers --data voc:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set neco-linear-voc-registers.mask_side=0 scores at 448 × 448 pixels
"""

_base_ = "neco-linear-voc.py"
title = "VOC 2012 by a linear layer, NeCo's recipe, networks with registers"
features = dict(
    positions=(
        "timm",
        "N: DINOv2's own code, with registers",
        "the rule without registers is refused by networks that have them",
    ),
)
_row = dict(
    metric="mIoU",
    source="N: README",
    kind="authors",
    comparable="whether its table has the last or the best of its epochs is not confirmed",
)
published = [
    dict(model="NeCo on DINOv2R S/14", value="81.5", **_row),
    dict(model="NeCo on DINOv2R-XR S/14", value="81.3", **_row),
    dict(model="NeCo on DINOv2R B/14", value="84.4", **_row),
    dict(model="NeCo on DINOv2R-XR B/14", value="83.3", **_row),
]
