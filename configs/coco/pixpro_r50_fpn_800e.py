"""PixPro through a feature pyramid, ResNet-50-FPN, unlabelled COCO train2017, 800 epochs: pretrains
the neck as well.

Launch:   bash tools/dist_train.sh configs/coco/pixpro_r50_fpn_800e.py 8
Hardware: 8 GPUs, 128 images each; if memory is short, schedule.accumulate=2 (BatchNorm then sees 64
          per GPU)
Time:     not known; 92,000 steps of 1024, about 74 epochs of ImageNet
Result:   ours, untested. The paper pretrains an FPN too (COCO 1x 41.3 box AP, 100 epochs of
          ImageNet with the instance branch), but which levels, heads and weights it uses is not
          published
Knob:     objectives[0].pyramid: strides, extra (P6), head_convs (4 pretrains the tower of a dense
          head)
Differs:  P3 to P6, shared projector and propagation, plain mean over levels: our choice; hidden
          2048 because P3 has 784 cells. Everything else from the ImageNet recipe. The FPN is kept
          in the checkpoint under objectives.0.levels.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/views_pixpro224.py",
    "../_base_/schedule_lars_100e.py",
]

# The json only lists the files; boxes and masks are not used. Add unlabeled2017 by a FileList over
# both folders.
source = dict(
    type="CocoImages",
    annotations="data/coco/annotations/instances_train2017.json",
    root="data/coco/train2017",
)
model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[
        dict(
            type="PixPro",
            pyramid=dict(strides=(8, 16, 32), channels=256, extra=True, head_convs=0),
            hidden=2048,
        )
    ],
    momentum=dict(start=0.99, end=1.0),
)
schedule = dict(epochs=800)
