"""ADE20K, UPerNet on ResNet-18, 24 iterations: the full recipe, made small.

Launch:   python tools/transfer.py random:resnet18 \
              configs/transfer/tiny/ade20k_upernet_r50_80k.py \\
          --data data/ADEChallengeData2016
Hardware: CPU
Time:     about 20 s of one core, the libraries' import included
Result:   ours, untested: far too short for a number, it shows that the recipe runs
Knob:     train_cfg.max_iters, with the schedule in param_scheduler
Differs:  from ../ade20k_upernet_r50_80k.py: resnet18, crops of 64 pixels, batch 4, 24 iterations,
          narrower head
"""

_base_ = ["../ade20k_upernet_r50_80k.py"]

transfer = dict(batch=4)
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(depth=18),
    decode_head=dict(in_channels=[64, 128, 256, 512], channels=64),
    auxiliary_head=dict(in_channels=256, channels=64),
)
smaller = {
    "RandomResize": dict(scale=(256, 64)),
    "RandomCrop": dict(crop_size=(64, 64)),
    "Resize": dict(scale=(256, 64)),
}
train_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.test_pipeline]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)
val_dataloader = val_evaluator = val_cfg = None
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=24, by_epoch=False)]
train_cfg = dict(max_iters=24)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=24))
