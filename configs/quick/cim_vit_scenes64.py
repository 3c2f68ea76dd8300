"""CIM with a small ViT on the embedded data set "scenes": fixed positions, frozen patch embedding.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/cim_vit_scenes64.py
Hardware: 2 CPU cores
Result:   none measured on the ViT; our own recipe
Knob:     model.backbone.freeze_patches
"""

_base_ = "cim_scenes64.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="SinCosViT",
        name="vit_tiny_patch16_224",
        img_size=64,
        patch_size=8,
        embed_dim=128,
        depth=4,
        num_heads=4,
    )
)
