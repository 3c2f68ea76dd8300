"""Blood cells (BCCD) at 320 x 240, Faster R-CNN with a small feature pyramid on any backbone:
minutes on a laptop.

Launch:   python tools/prepare_transfer.py data/transfer --sets bccd
          python tools/transfer.py CHECKPOINT configs/transfer/tiny/det_fpn.py --seeds 0 1 2
Hardware: 2 CPU cores
Result:   docs/results.md
Knob:     train_dataloader.dataset.indices, how many labelled images are trained on
Source:   our own recipe
"""

_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py", "mmdet::_base_/default_runtime.py"]

custom_imports = dict(imports=["benchmarks.mm.modules"])
transfer = dict(task="detection", batch=8, backbone="any", classes=True)
data_root = "data/transfer/bccd/"
_iterations = 100

_width = 64
_roi_strides = [4, 8]
model = dict(
    data_preprocessor=dict(pad_size_divisor=64),
    backbone=dict(
        _delete_=True, type="TimmBackbone", out_indices=(1, 2)
    ),  # strides 4 and 8 in ResNets
    # Three more levels by pooling; BN because new layers at this learning rate do not settle in so
    # few steps without.
    neck=dict(in_channels=None, out_channels=_width, num_outs=5, norm_cfg=dict(type="BN")),
    rpn_head=dict(in_channels=_width, feat_channels=_width, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=_width, featmap_strides=_roi_strides, finest_scale=32),
        bbox_head=dict(in_channels=_width, fc_out_channels=128, num_classes=None),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=150),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=150)),
)

_size = dict(type="Resize", scale=(320, 240), keep_ratio=False)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    _size,
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    _size,
    dict(type="LoadAnnotations", with_bbox=True),  # behind Resize: scored at the original size
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,  # all images have one size, so sharing a batch pads none
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(
    type="CocoMetric", ann_file=data_root + "annotations/instances_val2017.json", metric="bbox"
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=0.9, eta_min=1e-5, by_epoch=False, begin=20, end=_iterations),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=_iterations)
test_cfg = dict(type="TestLoop")
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(by_epoch=False, interval=_iterations),
    visualization=dict(draw=False),
)
