"""Mask R-CNN, ResNet-50-C4, COCO 2017, 1x: the transfer setting of PixPro, MoCo and their peers.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/coco_maskrcnn_r50_c4_1x.py \\
          --data data/coco
Hardware: 8 GPUs, 2 images each
Time:     not known; not measured by us
Result:   PixPro's repository, box / mask AP: PixPro, 100 epochs 40.0 / 34.8, 400 epochs 40.5 /
          35.3, supervised 38.2 / 33.3, from scratch 26.4 / 29.3; not reproduced by us
Knob:     train_cfg.max_iters and param_scheduler: 180,000, at 120,000 and 160,000, is 2x
Differs:  mmdet in place of detectron2 0.2.1. Precise BN over 200 batches, short sides in steps of
          32, warm-up and no weight decay on norms are detectron2's defaults
"""

_base_ = [
    "mmdet::_base_/models/mask-rcnn_r50-caffe-c4.py",
    "_base_/coco_multiscale.py",
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
            type="ResLayerExtraNorm", norm_cfg=norm_cfg, norm_eval=False, style="pytorch"
        )
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=-1)
    ),  # anchors across the border take part, as in detectron2
)
