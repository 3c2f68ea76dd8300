"""VOC 2007 + 2012 trainval for training, VOC 2007 test for testing; short side 480 to 800, for
testing 800.
"""

_base_ = ["mmdet::_base_/datasets/voc0712.py", "mmdet::_base_/default_runtime.py"]

train_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="KeepDifficult"),
    dict(
        type="RandomChoiceResize",
        scales=[(1333, side) for side in range(480, 801, 32)],
        keep_ratio=True,
        backend="pillow",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True, backend="pillow"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    num_workers=4,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        _delete_=True,
        type="ConcatDataset",
        ignore_keys=["dataset_type"],
        datasets=[
            dict(
                type="VOCDataset",
                data_root="data/VOCdevkit/",
                ann_file=f"VOC{year}/ImageSets/Main/trainval.txt",
                data_prefix=dict(sub_data_root=f"VOC{year}/"),
                filter_cfg=dict(
                    filter_empty_gt=True, min_size=32
                ),  # small boxes stay, unlike in mmdet's own recipe
                pipeline=train_pipeline,
            )
            for year in (2007, 2012)
        ],
    ),
)
val_dataloader, val_evaluator = None, None
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# As detectron2 on VOC 2007: the average precision of VOC 2007 (11 points), averaged over IoU 0.50
# to 0.95.
test_evaluator = dict(
    type="VOCMetric",
    metric="mAP",
    eval_mode="11points",
    iou_thrs=[round(0.5 + 0.05 * i, 2) for i in range(10)],
)

log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4000, max_keep_ckpts=1))
