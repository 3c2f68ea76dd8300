"""Objects of the generated scenes at 128 x 128, Mask R-CNN with a small feature pyramid on any backbone.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/prepare_transfer.py data/transfer --sets scenes_detection
          python tools/transfer.py CHECKPOINT configs/transfer/tiny/mask_fpn.py --seeds 0 1 2
Knob:     train_dataloader.dataset.indices, how many labelled images are trained on
Source:   our own recipe
"""

_base_ = ["det_fpn.py"]

data_root = "data/transfer/scenes_detection/"
_width = 64
_roi_strides = [4, 8]
model = dict(
    type="MaskRCNN",
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=_width,
            featmap_strides=_roi_strides,
            finest_scale=32,
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=2,
            in_channels=_width,
            conv_out_channels=_width,
            num_classes=None,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)

_size = dict(type="Resize", scale=(128, 128), keep_ratio=False)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    _size,
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    _size,
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json", metric=["bbox", "segm"])
