"""VOC 2012 with the extra annotations (10,582 images), FCN on ResNet-50 (stride 16), 30k
iterations.

Launch:   bash tools/dist_train.sh tools/transfer.py 2 CHECKPOINT \
              configs/transfer/voc12aug_fcn_r50_30k.py \\
          --data data/VOCdevkit/VOC2012
Hardware: 2 GPUs, 8 images each, as in the repository it comes from
Time:     not known
Result:   no number of PixPro's is known to us; not run by us
Knob:     train_dataloader.num_workers
Source:   SlotCon's repository, which follows MoCo: model, SGD 0.003, weight decay 1e-4, x 0.1 at
          21k and 27k, crop 513, test on whole images with a short side of 513
Differs:  its configs hand statistics for images in [0, 1] to images in 0 to 255; here both are in 0
          to 255. They leave the network to the library's base file, whose ResNet is V1c; here it is
          v1
"""

_base_ = ["_base_/fcn_d6_r50.py", "mmseg::_base_/datasets/pascal_voc12_aug.py"]

transfer = dict(task="segmentation", batch=16, backbone="native")
model = dict(
    data_preprocessor=dict(size=(513, 513)),
    decode_head=dict(num_classes=21),
    test_cfg=dict(mode="whole"),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2049, 513), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(513, 513)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2049, 513), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(part, pipeline=train_pipeline)
            for part in (_base_.dataset_train, _base_.dataset_aug)
        ]
    )
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.003))
param_scheduler = [dict(type="MultiStepLR", milestones=[21_000, 27_000], gamma=0.1, by_epoch=False)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=30_000, val_interval=3_000)
default_hooks = dict(checkpoint=dict(interval=3_000))
