"""Cityscapes, FCN on ResNet-50 (stride 16), 90k iterations: a substitute, PixPro's own protocol was
not released.

Launch:   bash tools/dist_train.sh tools/transfer.py 2 CHECKPOINT \
              configs/transfer/cityscapes_fcn_r50_90k.py \\
          --data data/cityscapes
Hardware: 2 GPUs, 8 images each, as in the repository it comes from
Time:     not known
Result:   paper: PixPro 77.2 mIoU, best image-level method 76.2, by a protocol that may be another
          one; not reproduced by us
Knob:     train_dataloader.num_workers: crops of 769 pixels are cut from PNG files of 2048 x 1024
Source:   SlotCon's repository, which follows MoCo: model, SGD 0.01, weight decay 1e-4, x 0.1 at 63k
          and 81k, crop 769, test in windows of 769 every 513 pixels of the whole image
Differs:  its configs hand statistics for images in [0, 1] to images in 0 to 255; here both are in 0
          to 255. They leave the network to the library's base file, whose ResNet is V1c; here it is
          v1
"""

_base_ = ["_base_/fcn_d6_r50.py", "mmseg::_base_/datasets/cityscapes_769x769.py"]

transfer = dict(task="segmentation", batch=16, backbone="native")
model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(num_classes=19),
    test_cfg=dict(mode="slide", crop_size=(769, 769), stride=(513, 513)),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2049, 1025), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(769, 769)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [dict(type="MultiStepLR", milestones=[63_000, 81_000], gamma=0.1, by_epoch=False)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=90_000, val_interval=9_000)
