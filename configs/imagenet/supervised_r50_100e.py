"""Supervised cross-entropy, ResNet-50, ImageNet-1k, 100 epochs: the upper control.

Launch:   bash tools/dist_train.sh configs/imagenet/supervised_r50_100e.py 8
Hardware: 8 GPUs, 128 images each
Time:     not known; one view per image and no target network: three forward-equivalents where
          PixPro needs eight
Result:   paper: PixPro's authors list VOC detection 53.5 AP (C4), COCO 1x 39.7 box / 35.9 mask AP
          (FPN) for supervised pretraining, whose recipe they do not give; this recipe was not run
          by us
Knob:     objectives[0].label_smoothing
"""

_base_ = ["../_base_/runtime.py", "../_base_/imagenet.py", "../_base_/views_supervised224.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[dict(type="Supervised", num_classes=1000)],
)
schedule = dict(global_batch=1024, epochs=100, warmup_epochs=5, lr_rule="linear", lr_per_256=0.1)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
