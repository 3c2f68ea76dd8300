"""Mask R-CNN, ViT-Ti/16 with a simple pyramid, any COCO-layout folder, 40 iterations: the full
recipe, made small.

Launch:   python tools/transfer.py random:vit_tiny_patch16_224 \
              configs/transfer/tiny/coco_maskrcnn_vit_1x.py \\
          --data data/transfer/scenes_detection
Hardware: CPU
Time:     43 s of one core's time on 48 scenes and 12 to test, imports included
Result:   ours, untested: far too short for a number, it shows that the recipe runs
Knob:     train_cfg.max_iters, with the schedule in param_scheduler
Differs:  from ../coco_maskrcnn_vit_1x.py: vit_tiny_patch16_224, images of 128 pixels, batch 4, 64
          channels in neck and heads, an eighth of the regions
"""

_base_ = ["../coco_maskrcnn_vit_1x.py"]

transfer = dict(batch=4, classes=True)
model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(type="BatchFixedSizePad", size=(128, 128), img_pad_value=0, pad_mask=True)
        ]
    ),
    backbone=dict(name="vit_tiny_patch16_224"),
    neck=dict(in_channels=192, out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, conv_out_channels=64, fc_out_channels=128, num_classes=None),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(in_channels=64, conv_out_channels=64, num_classes=None),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=250, max_per_img=125), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=125, max_per_img=125)),
)
smaller = dict(
    RandomResize=dict(scale=(128, 128)),
    RandomCrop=dict(crop_size=(128, 128)),
    Resize=dict(scale=(128, 128)),
)
train_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **smaller.get(step["type"], {})) for step in _base_.test_pipeline]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=4),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=40, milestones=[27, 36], gamma=0.1),
]
train_cfg = dict(max_iters=40)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=40))
