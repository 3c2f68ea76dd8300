"""DenseCL goes on from DINO's ViT-S/16 on a folder of photos: the recipe that every arm of
configs/comparisons/post_train.py changes.

Launch:   python tools/train.py configs/one_gpu/densecl_vits16_post_train.py
Hardware: 1 GPU
Time:     not known
Result:   ours, untested
Knob:     optimizer.backbone_lr: published post-trainings give the backbone 2e-7 to 1e-5
Source:   learning rates, decay and views of NeCo for DINO's ViT-S/16; its small views are left out
"""

_base_ = ["../_base_/runtime.py", "../_base_/views_moco224.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(
        type="TimmBackbone", name="vit_small_patch16_224", start="timm:vit_small_patch16_224.dino"
    ),
    objectives=[dict(type="DenseCL", hidden=2048, dim=128, entries=65_536)],
    momentum=dict(start=0.9995, end=1.0),
)
source = dict(type="ImageFolder", root="data/photos", labels=False)
schedule = dict(global_batch=64, epochs=25, lr_rule="none", lr=1e-4, lr_min=0.0)
# The heads are fresh and good weights are not: at first heads alone are trained, then ten times as
# fast as the backbone.
optimizer = dict(
    type="AdamW", weight_decay=0.04, weight_decay_end=0.5, backbone_lr=0.1, heads_first=0.25
)
