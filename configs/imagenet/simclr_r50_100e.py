"""SimCLR, ResNet-50, ImageNet-1k, 100 epochs at batch 1024: an image-level control at PixPro's
budget.

Launch:   bash tools/dist_train.sh configs/imagenet/simclr_r50_100e.py 8
Hardware: 8 GPUs, 128 images each; negatives come from all processes of a step, not from accumulated
          micro-batches
Time:     not known
Result:   paper: ImageNet linear 69.3 % after 1000 epochs at batch 4096; PixPro's authors list VOC
          detection 56.3 AP for 1000 epochs; this short, smaller schedule was not run by us
Knob:     schedule.global_batch: more negatives; the learning rate follows by the square root
Source:   the authors' code: views, tau 0.1, 10 epochs of warm-up, lr 0.075 * sqrt(batch) = 2.4 for
          short schedules, from 0 to the peak to 0, LARS, linear layers from N(0, 0.01), no shift in
          the last BatchNorm
Differs:  batch 1024 and 100 epochs in place of 4096 and 1000; weight decay 1e-6 and a projector of
          two layers as in the paper, where the code's defaults are now 1e-4 and three; the loss is
          the mean over both directions, there their sum, which LARS takes out again but for biases
          and norms; the learning rate acts on the velocity, there it is inside; crops and
          resampling, see ../_base_/views_simclr224.py
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
    objectives=[
        dict(
            type="SimCLR",
            hidden=2048,
            dim=128,
            temperature=0.1,
            last_shift=False,
            head_start="normal",
        ),
    ],
)
schedule = dict(warmup_epochs=10, warmup_from=0.0, lr_rule="sqrt", lr_per_256=1.2, lr_min=0.0)
optimizer = dict(weight_decay=1e-6)
