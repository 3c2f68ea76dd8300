"""Mask R-CNN, plain ViT-B/16 with a simple feature pyramid, COCO 2017, 1x: ViTDet's model on a
short schedule.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/coco_maskrcnn_vit_1x.py \\
          --data data/coco
Hardware: 8 GPUs, 2 images of 1024 x 1024 each
Time:     not known; not measured by us
Result:   ours, untested; no number of CIM's on COCO is known to us
Knob:     optim_wrapper.paramwise_cfg: the decay of the learning rate from block to block (ViTDet:
          0.7 for ViT-B); model.backbone.name for another ViT, with neck.in_channels
Differs:  from ViTDet: global attention in every block, no relative positions, 90,000 iterations of
          16 images in place of 184,375 of 64, warm-up over 1,000. The ViT is timm's; its last
          LayerNorm is not used
"""

_base_ = [
    "mmdet::_base_/models/mask-rcnn_r50_fpn.py",
    "_base_/coco_multiscale.py",
    "_base_/detection_90k.py",
]

transfer = dict(task="detection", batch=16, backbone="timm")

image_size = (1024, 1024)
norm = dict(type="LN2d")
model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(type="BatchFixedSizePad", size=image_size, img_pad_value=0, pad_mask=True)
        ]
    ),
    backbone=dict(
        _delete_=True,
        type="TimmBackbone",
        name="vit_base_patch16_224",
        out_indices=(11,),
        drop_path_rate=0.1,
    ),
    neck=dict(_delete_=True, type="SimplePyramid", in_channels=768, out_channels=256, in_stride=16),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type="RandomCrop",
        crop_type="absolute_range",
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor="TimmLayerDecay",
    paramwise_cfg=dict(layer_decay=0.7),
)
custom_hooks = []  # no BatchNorm in the model
