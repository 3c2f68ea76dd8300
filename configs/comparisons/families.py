"""Three families on a ViT: multi-view (SimCLR, PixPro), masked (SimMIM) and correlational (CIM), on
"scenes".

Launch:   python tools/compare.py configs/comparisons/families.py
Hardware: 2 CPU cores
Result:   none measured; our own recipes, one learning rate for all; CIM's network has fixed
          positions and a frozen patch embedding, as published
Knob:     budget
"""

_base_ = "scenes.py"
title = "Families: multi-view, masked and correlational pretraining of a ViT"
budget = dict(samples=12_000)
overrides = {"schedule.warmup_samples": 1_200}
# The network of the recipes *_vit.
_vit = {
    "model.backbone": dict(
        _delete_=True,
        type="TimmBackbone",
        name="vit_tiny_patch16_224",
        img_size=64,
        patch_size=8,
        embed_dim=128,
        depth=4,
        num_heads=4,
    )
}
arms = dict(
    _delete_=True,
    untrained=dict(train=False, overrides=_vit),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py", overrides=_vit),
    PixPro=dict(overrides=_vit),
    SimMIM=dict(config="configs/quick/simmim_vit_scenes64.py"),
    CIM=dict(config="configs/quick/cim_vit_scenes64.py"),
)

benchmarks = dict(retrieval=dict(memory_size=51_200))
pictures = dict(count=6)
