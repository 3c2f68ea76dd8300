"""iBOT++ goes on from a trained small ViT, held by Gram anchoring to the network it began as, which
sees every view at twice the size; views and schedule as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/ibot_vit_scenes64.py
          python tools/train.py configs/quick/gram_vit_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     weight of Gram; model.reference.refresh_every lets the target network take the reference's
          place
"""

_base_ = "ibot_vit_scenes64.py"
_ibot = dict(
    type="IBOT",
    prototypes=512,
    hidden=256,
    bottleneck=64,
    visible_weight=1.0,
    sharpening=dict(warmup_epochs=4),
)
model = dict(
    backbone=dict(start="work_dirs/ibot_vit_scenes64/final.pth"),
    objectives=[_ibot, dict(type="Gram", twins="large", weight=2.0)],
)
views = dict(
    groups=dict(
        large=[dict(size=128, same_as=("global", 0)), dict(size=128, same_as=("global", 1))]
    )
)
optimizer = dict(heads_first=1, backbone_lr=0.1)
