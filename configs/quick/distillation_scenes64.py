"""A small ResNet learns the cells of a frozen small ViT that sees the clean views; everything else
as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/ibot_vit_scenes64.py
          python tools/train.py configs/quick/distillation_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     model.reference.backbone: any network, for example
          dict(type="TimmBackbone", name="vit_small_patch16_224", start="timm:NAME.TAG")
"""

_base_ = "scenes64.py"
_vit = dict(img_size=64, patch_size=8, embed_dim=128, depth=4, num_heads=4)
_start = "work_dirs/ibot_vit_scenes64/final.pth"
_teacher = dict(type="TimmBackbone", name="vit_tiny_patch16_224", start=_start, **_vit)
model = dict(
    objectives=[dict(type="Distillation", twins="clean")], reference=dict(backbone=_teacher)
)
views = dict(
    groups=dict(clean=[dict(size=64, same_as=("global", 0)), dict(size=64, same_as=("global", 1))])
)
