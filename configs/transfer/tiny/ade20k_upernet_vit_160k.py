"""ADE20K, UPerNet on ViT-Ti/16, 40 iterations: the full recipe, made small.

Launch:   python tools/transfer.py random:vit_tiny_patch16_224 configs/transfer/tiny/ade20k_upernet_vit_160k.py \\
          --data data/ADEChallengeData2016
Hardware: CPU
Time:     TIME
Result:   ours, untested: far too short for a number, it shows that the recipe runs
Knob:     train_cfg.max_iters, with the schedule in param_scheduler
Differs:  from ../ade20k_upernet_vit_160k.py: vit_tiny_patch16_224, crops of 128 pixels,
          batch 4, 40 iterations, narrower head
"""

_base_ = ["../ade20k_upernet_vit_160k.py"]

transfer = dict(batch=4)
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(name="vit_tiny_patch16_224", img_size=128),
    neck=dict(embed_dim=192),
    decode_head=dict(in_channels=[192, 192, 192, 192], channels=64),
    auxiliary_head=dict(in_channels=192, channels=64),
    test_cfg=dict(crop_size=(128, 128), stride=(85, 85)),
)
smaller = {
    "RandomResize": dict(scale=(512, 128)), "RandomCrop": dict(crop_size=(128, 128)), "Resize": dict(scale=(512, 128))
}  # fmt: skip
train_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.test_pipeline]
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
val_dataloader = val_evaluator = val_cfg = None
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=4),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=4, end=40, by_epoch=False),
]
train_cfg = dict(max_iters=40)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=40))
