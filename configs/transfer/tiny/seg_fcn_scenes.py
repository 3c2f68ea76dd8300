"""The generated scenes at their own 96 x 96, one FCN layer on the stride-8 map of any backbone.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/prepare_transfer.py data/transfer --sets scenes_segmentation
          python tools/transfer.py CHECKPOINT configs/transfer/tiny/seg_fcn_scenes.py --seeds 0 1 2
Hardware: 2 CPU cores
Result:   docs/results.md
Knob:     train_dataloader.dataset.indices, how many labelled images are trained on
Source:   our own recipe
"""

_base_ = ["seg_fcn.py"]

data_root = "data/transfer/scenes_segmentation/"
model = dict(data_preprocessor=dict(size=(96, 96)))
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))

_iterations = 600
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=0.9, eta_min=1e-5, by_epoch=False, begin=20, end=_iterations),
]
train_cfg = dict(max_iters=_iterations)
default_hooks = dict(checkpoint=dict(interval=_iterations))
