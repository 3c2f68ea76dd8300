"""FCN on a ResNet-50 of stride 16 as MoCo's transfer to segmentation has it: the model of two
recipes.

Source: SlotCon's repository (transfer/segmentation/configs), which rebuilds it on mmsegmentation.
Last stage with stride 1 and dilation 2; two 3 x 3 convolutions of 256 channels, dilation 6, and a
classifier; no dropout, no auxiliary head.
Differs: ResNet v1 with a 7 x 7 stem, whose keys a pretrained ResNet-50 has, not the library's V1c.
"""

_base_ = ["mmseg::_base_/models/fcn_r50-d8.py", "mmseg::_base_/default_runtime.py"]

custom_imports = dict(imports=["benchmarks.mm.modules"])
model = dict(
    pretrained=None,
    backbone=dict(
        type="ResNet",
        style="pytorch",
        frozen_stages=-1,
        norm_eval=False,
        dilations=(1, 1, 1, 2),
        strides=(1, 2, 2, 1),
    ),
    decode_head=dict(
        channels=256, dilation=6, concat_input=False, dropout_ratio=0, align_corners=True
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4),
    clip_grad=None,
)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=9000),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
