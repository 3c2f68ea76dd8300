"""PixPro, ResNet-50, ImageNet-1k, 100 epochs: the settings of the authors' released script.

Launch:   bash tools/dist_train.sh configs/imagenet/pixpro_r50_100e.py 8
Hardware: 8 GPUs, 128 images each (authors: 8 V100 of 32 GB)
Time:     58 h on 8 V100 32 GB (a user's report, zdaxie/PixPro issue 7); memory not known; not
          measured by us
Result:   paper: VOC detection 58.8 AP (C4), COCO 1x 40.8 box / 36.8 mask AP (FPN); not reproduced
          by us
Knob:     objectives[0].hidden: 4096 in the authors' code, 2048 in re-implementations of the paper
Source:   the authors' scripts (tools/*.sh), every number of them. Against their code on the same
          tensors: loss and parameters agree to 1e-8 over 4 training steps, LARS to rounding
Differs:  bf16 in place of apex O1; the blur, see ../_base_/views_pixpro224.py; box coordinates by
          pixel area, not pixel centre, which changes 0.79 % of the positive pairs of 500 x 375
          images (3.2 % at 96 px, 9.9 % at 32 px)
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/imagenet.py",
    "../_base_/views_pixpro224.py",
    "../_base_/schedule_lars_100e.py",
]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[
        dict(
            type="PixPro",
            hidden=4096,
            dim=256,
            gamma=2.0,
            layers=1,
            normalise_values=True,
            pos_radius_diag=0.7,
            # Twice the paper's; LARS takes the factor out again, but not for biases and BN.
            loss_form="repository",
            # Pairs of views without a match count as 0 in the mean, as in the authors' code.
            count_empty=True,
        )
    ],
    momentum=dict(start=0.99, end=1.0),
)
