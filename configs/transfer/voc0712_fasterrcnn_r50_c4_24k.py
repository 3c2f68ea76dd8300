"""Faster R-CNN, ResNet-50-C4, VOC 2007 + 2012 trainval to VOC 2007 test, 24,000 iterations: as
PixPro and MoCo.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/voc0712_fasterrcnn_r50_c4_24k.py \\
          --data data/VOCdevkit
Hardware: 8 GPUs, 2 images each
Time:     not known; not measured by us
Result:   PixPro's repository, AP / AP50 / AP75: PixPro, 100 epochs 58.8 / 83.0 / 66.5, 400 epochs
          60.2 / 83.8 / 67.7, supervised 53.5 / 81.3 / 58.8, from scratch 33.8 / 60.2 / 33.1; not
          reproduced by us
Knob:     test_evaluator.eval_mode: "area" instead of VOC 2007's 11 points gives other numbers
Differs:  mmdet in place of detectron2 0.2.1, and its reader of VOC, whose boxes end at the last
          pixel inside. AP is mAP of mmdet's VOCMetric over IoU 0.50 to 0.95, which detectron2's VOC
          evaluator reports as well. Warm-up as in MoCo's configuration; precise BN over 200 batches
          and no weight decay on norms are detectron2's defaults
"""

_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py",
    "_base_/voc_multiscale.py",
    "_base_/detection_90k.py",
]

transfer = dict(task="detection", batch=16, backbone="native")

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, style="pytorch", init_cfg=None
    ),
    roi_head=dict(
        shared_head=dict(
            type="ResLayerExtraNorm",
            norm_cfg=norm_cfg,
            norm_eval=False,
            style="pytorch",
            init_cfg=None,
        ),
        bbox_head=dict(num_classes=20),
    ),
)
train_cfg = dict(max_iters=24_000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(
        type="MultiStepLR",
        by_epoch=False,
        begin=0,
        end=24_000,
        milestones=[18_000, 22_000],
        gamma=0.1,
    ),
]
