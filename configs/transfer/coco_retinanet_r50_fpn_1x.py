"""RetinaNet, ResNet-50-FPN, COCO 2017, 1x: the detector whose neck and head can be pretrained with
the backbone.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/coco_retinanet_r50_fpn_1x.py \\
          --data data/coco
Hardware: 8 GPUs, 2 images each
Time:     not known; not measured by us
Result:   ours, untested. The PixPro paper pretrains the head of a dense detector too, but published
          neither recipe nor code for it
Knob:     objectives[0].pyramid of the pretraining: head_convs=4 fills both towers of the head
Differs:  learning rate 0.01, as in the libraries' RetinaNet recipes. The backbone's norms are
          trained and synchronised as in the Mask R-CNN recipe; neck and head have none, so that
          pretrained ones compute what they did. P3 to P5 can be pretrained; P6 and P7 are
          convolutions here, and new
"""

_base_ = [
    "mmdet::_base_/models/retinanet_r50_fpn.py",
    "_base_/coco_multiscale.py",
    "_base_/detection_90k.py",
]

transfer = dict(task="detection", batch=16, backbone="native")

norm = dict(type="SyncBN", requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_cfg=norm, norm_eval=False, style="pytorch", init_cfg=None)
)

# Boxes alone: the polygons are not read.
train_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="RandomChoiceResize",
        scales=[(1333, side) for side in range(640, 801, 32)],
        keep_ratio=True,
        backend="pillow",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_evaluator = dict(metric="bbox")
optim_wrapper = dict(optimizer=dict(lr=0.01))
