"""iBOT++ on a small ViT on the embedded data set "scenes"; everything but network and objective as
in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/ibot_vit_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     visible_weight: 0 is iBOT
"""

_base_ = "scenes64.py"
_vit = dict(img_size=64, patch_size=8, embed_dim=128, depth=4, num_heads=4)
model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", name="vit_tiny_patch16_224", **_vit),
    objectives=[
        dict(
            type="IBOT",
            prototypes=512,
            hidden=256,
            bottleneck=64,
            visible_weight=1.0,
            sharpening=dict(warmup_epochs=4),
        )
    ],
    masking=dict(shape="block", share=0.5, ratio=(0.1, 0.5)),
    momentum=dict(start=0.99),
)
