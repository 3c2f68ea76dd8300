"""SimCLR, ResNet-50, ImageNet-1k, 100 epochs at batch 1024: an image-level control at PixPro's budget.

Launch:   bash tools/dist_train.sh configs/imagenet/simclr_r50_100e.py 8
Hardware: 8 GPUs, 128 images each; negatives come from all processes of a step, not from accumulated micro-batches
Time:     not known
Result:   paper: ImageNet linear 69.3 % after 1000 epochs at batch 4096; PixPro's authors list VOC detection 56.3 AP for
          1000 epochs; this short, smaller schedule was not run by us
Knob:     schedule.global_batch: more negatives; the learning rate follows by the square root
Differs:  batch 1024 and 100 epochs in place of 4096 and 1000; lr 0.075 * sqrt(batch) = 2.4, the paper's rule for small
          batches and short schedules, in place of 0.3 * batch / 256
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/imagenet.py",
    "../_base_/views_simclr224.py",
    "../_base_/schedule_lars_100e.py",
]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[dict(type="SimCLR", hidden=2048, dim=128, temperature=0.1)],
)
schedule = dict(warmup_epochs=10, lr_rule="sqrt", lr_per_256=1.2)
optimizer = dict(weight_decay=1e-6)
