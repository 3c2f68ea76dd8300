"""CamVid at 256 x 192, one FCN layer on the stride-8 map of any backbone: minutes on a laptop.

Launch:   python tools/prepare_transfer.py data/transfer --sets camvid
          python tools/transfer.py CHECKPOINT configs/transfer/tiny/seg_fcn.py --seeds 0 1 2
Hardware: 2 CPU cores
Result:   docs/results.md
Knob:     train_dataloader.dataset.indices, how many labelled images are trained on
Source:   our own recipe
"""

_base_ = ["mmseg::_base_/models/fcn_r50-d8.py", "mmseg::_base_/default_runtime.py"]

custom_imports = dict(imports=["benchmarks.mm.modules"])
transfer = dict(task="segmentation", batch=8, backbone="any", classes=True)
data_root = "data/transfer/camvid/"
_iterations = 200

model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(192, 256)),
    backbone=dict(_delete_=True, type="TimmBackbone", out_indices=(2,)),  # stride 8 in ResNets
    decode_head=dict(
        in_channels=None,
        in_index=0,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=None,
    ),
    auxiliary_head=None,
)

_size = dict(type="Resize", scale=(256, 192), keep_ratio=False)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    _size,
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    _size,
    dict(
        type="LoadAnnotations", reduce_zero_label=True
    ),  # behind Resize: scored at the original size
    dict(type="PackSegInputs"),
]
_files = dict(type="BaseSegDataset", data_root=data_root, reduce_zero_label=True)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        **_files,
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **_files,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=0.9, eta_min=1e-5, by_epoch=False, begin=20, end=_iterations),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=_iterations)
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=_iterations),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
