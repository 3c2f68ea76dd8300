"""PixContrast, ResNet-50, ImageNet-1k, 100 epochs: PixPro's recipe with the contrastive loss.

Launch:   bash tools/dist_train.sh configs/imagenet/pixcontrast_r50_100e.py 8
Hardware: 8 GPUs, 128 images each
Time:     not known
Result:   paper: no number confirmed by us; one re-implementation reports VOC 52.2 AP (its PixPro:
          54.1; batch 512, an unusual averaging); not reproduced by us
Knob:     objectives[0].temperature: 0.3 comes from re-implementations, the paper's value is not
          confirmed
Differs:  its code was never released; everything but the loss is taken over from PixPro
"""

_base_ = ["./pixpro_r50_100e.py"]

model = dict(
    objectives=[
        dict(
            type="PixContrast",
            hidden=4096,
            dim=256,
            temperature=0.3,
            pos_radius_diag=0.7,
            intersection="partner",
        )
    ]
)
