"""SupCon, ResNet-50, ImageNet-1k, 350 epochs at batch 6144: the paper's setting but for
AutoAugment.

Launch:   bash tools/dist_train.sh configs/imagenet/supcon_r50_350e.py 32
Hardware: 32 GPUs, 192 images each; positives and negatives come from all processes of a step, not
          from accumulated micro-batches
Time:     not known
Result:   paper: ImageNet linear 78.7 % with AutoAugment, which is not available here; not
          reproduced by us
Knob:     objectives[0].chunk: less memory where few GPUs hold many rows of the 12,288 x 12,288
          similarities; schedule.epochs: the paper says 200 are likely to suffice
Source:   the authors' TensorFlow script: LARS with momentum 0.9, trust coefficient 0.001, weight
          decay 1e-3, lr 0.4 per 256 images, 12 epochs of warm-up, from 0 to the peak to 0, tau 0.1,
          loss multiplied by tau, encoder output of unit length, one linear layer to 128 from N(0,
          0.01)
Differs:  views are those of SimCLR in place of AutoAugment (RandAugment, which the paper takes for
          deeper networks, is not available either), so expect another number; crops and resampling,
          see ../_base_/views_simclr224.py
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/imagenet.py",
    "../_base_/views_simclr224.py",
    "../_base_/schedule_lars_100e.py",
]

_temperature = 0.1
model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[
        dict(
            type="SupCon",
            dim=128,
            layers=1,
            head_start="normal",
            normalise_encoder=True,
            temperature=_temperature,
            loss_scale=_temperature,
        )
    ],
)
schedule = dict(
    global_batch=6144, epochs=350, warmup_epochs=12, warmup_from=0.0, lr_per_256=0.4, lr_min=0.0
)
optimizer = dict(weight_decay=1e-3)
