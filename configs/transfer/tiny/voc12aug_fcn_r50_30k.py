"""VOC 2012 with the extra annotations, FCN on ResNet-18, 24 iterations: the full recipe, made
small.

Launch:   python tools/transfer.py random:resnet18 configs/transfer/tiny/voc12aug_fcn_r50_30k.py \\
          --data data/VOCdevkit/VOC2012
Hardware: CPU
Time:     about 20 s of one core, the libraries' import included
Result:   ours, untested: far too short for a number, it shows that the recipe runs
Knob:     train_cfg.max_iters, with the schedule in param_scheduler
Differs:  from ../voc12aug_fcn_r50_30k.py: resnet18, crops of 65 pixels, batch 4, 24 iterations,
          narrower head
"""

_base_ = ["../voc12aug_fcn_r50_30k.py"]

transfer = dict(batch=4)
model = dict(
    data_preprocessor=dict(size=(65, 65)),
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=64),
)
smaller = {
    "RandomResize": dict(scale=(257, 65)),
    "RandomCrop": dict(crop_size=(65, 65)),
    "Resize": dict(scale=(257, 65)),
}
train_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.test_pipeline]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        datasets=[
            dict(part, pipeline=train_pipeline)
            for part in (_base_.dataset_train, _base_.dataset_aug)
        ]
    ),
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)
val_dataloader = val_evaluator = val_cfg = None
param_scheduler = [dict(type="MultiStepLR", milestones=[17, 22], gamma=0.1, by_epoch=False)]
train_cfg = dict(max_iters=24)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=24))
