"""Mask R-CNN, ResNet-18-C4, any COCO-layout folder, 40 iterations: the full recipe, made small.

Launch:   python tools/transfer.py random:resnet18 \
              configs/transfer/tiny/coco_maskrcnn_r50_c4_1x.py \\
          --data data/transfer/scenes_detection
Hardware: CPU
Time:     59 s of one core's time on 48 scenes and 12 to test, 2 evaluations, imports included
Result:   ours, untested: far too short for a number, it shows that the recipe runs
Knob:     train_cfg.max_iters, with the schedule in param_scheduler
Differs:  from ../coco_maskrcnn_r50_c4_1x.py: resnet18, short sides of 96 to 128 pixels, batch 4, a
          quarter of the learning rate, a sixteenth of the regions, pooled to 6 x 6, 5 batches of
          precise BN
"""

_base_ = ["../coco_maskrcnn_r50_c4_1x.py"]

transfer = dict(batch=4, classes=True)
model = dict(
    backbone=dict(depth=18),
    rpn_head=dict(in_channels=256, feat_channels=64),
    roi_head=dict(
        shared_head=dict(depth=18),
        bbox_roi_extractor=dict(out_channels=256, roi_layer=dict(output_size=6)),
        bbox_head=dict(in_channels=512, roi_feat_size=3, num_classes=None),
        mask_head=dict(in_channels=512, conv_out_channels=64, num_classes=None),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=1500, max_per_img=125),
        rcnn=dict(sampler=dict(num=32), mask_size=6),
    ),
    test_cfg=dict(rpn=dict(nms_pre=750, max_per_img=60)),
)
smaller = dict(
    RandomChoiceResize=dict(scales=[(213, side) for side in range(96, 129, 8)]),
    Resize=dict(scale=(213, 128)),
)
train_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.test_pipeline]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)
optim_wrapper = dict(optimizer=dict(lr=0.005))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=4),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=40, milestones=[27, 36], gamma=0.1),
]
train_cfg = dict(max_iters=40)
custom_hooks = [dict(type="PreciseBN", batches=5)]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=40))
