"""Objects of the generated scenes at 128 x 128, Mask R-CNN with a small feature pyramid on any
backbone.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/prepare_transfer.py data/transfer --sets scenes_detection
          python tools/transfer.py CHECKPOINT configs/transfer/tiny/mask_fpn.py --seeds 0 1 2
Hardware: 2 CPU cores
Result:   docs/results.md
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
    # A scene has at most seven objects; pasting masks of a hundred candidates takes most of the
    # evaluation.
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5, max_per_img=20)),
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
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
_iterations = 300
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=0.9, eta_min=1e-5, by_epoch=False, begin=20, end=_iterations),
]
train_cfg = dict(max_iters=_iterations)
default_hooks = dict(checkpoint=dict(interval=_iterations))
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_evaluator = dict(
    ann_file=data_root + "annotations/instances_val2017.json", metric=["bbox", "segm"]
)
