"""SPair-71k as DINOv3's model card reports it, by a protocol that is not published: its numbers are
shown, ours are never held against them.

Launch:   pixelpretext evaluate BACKBONE --preset spair-dinov3-card --data spair:ROOT
Hardware: as spair-insid3
Result:   not reproduced by us; the card has no protocol, the settings are spair-insid3's
Knob:     none
"""

_base_ = "spair-insid3.py"
title = "SPair-71k, the numbers of DINOv3's card beside the protocol of INSID3"
sources = dict(V3="facebookresearch/dinov3, commit 6876159 of July 2026, its model card")
_row = dict(
    metric="PCK@0.1",
    source="V3: MODEL_CARD",
    kind="authors",
    comparable="neither code nor protocol is published",
)
published = [
    dict(model="vit_small_patch16_dinov3.lvd1689m", value="50.4", **_row),
    dict(model="vit_small_plus_patch16_dinov3.lvd1689m", value="55.2", **_row),
    dict(model="vit_base_patch16_dinov3.lvd1689m", value="57.2", **_row),
    dict(model="vit_large_patch16_dinov3.lvd1689m", value="61.3", **_row),
    dict(model="vit_huge_plus_patch16_dinov3.lvd1689m", value="56.3", **_row),
    dict(model="vit_7b_patch16_dinov3.lvd1689m", value="58.7", **_row),
]
