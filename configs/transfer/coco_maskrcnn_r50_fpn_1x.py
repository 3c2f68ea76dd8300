"""Mask R-CNN, ResNet-50-FPN, COCO 2017, 1x: the transfer setting of PixPro, MoCo and their peers.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/coco_maskrcnn_r50_fpn_1x.py \\
          --data data/coco
Hardware: 8 GPUs, 2 images each
Time:     not known; not measured by us
Result:   PixPro's repository, box / mask AP: PixPro, 100 epochs 40.8 / 36.8 (with instance branch
          41.3 / 37.1), supervised 39.7 / 35.9, from scratch 32.8 / 29.9; not reproduced by us
Knob:     train_cfg.max_iters and param_scheduler: 180,000, at 120,000 and 160,000, is 2x
Differs:  mmdet in place of detectron2 0.2.1. Precise BN over 200 batches, short sides in steps of
          32, warm-up and no weight decay on norms are detectron2's defaults. A pretrained FPN
          brings its weights, not its biases: this one normalises after each convolution
"""

_base_ = [
    "mmdet::_base_/models/mask-rcnn_r50_fpn.py",
    "_base_/coco_multiscale.py",
    "_base_/detection_90k.py",
]

transfer = dict(task="detection", batch=16, backbone="native")

norm = dict(type="SyncBN", requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_cfg=norm, norm_eval=False, style="pytorch", init_cfg=None),
    neck=dict(norm_cfg=norm),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),  # as in detectron2
)
