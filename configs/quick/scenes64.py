"""PixPro on the embedded data set "scenes": the base of all quick recipes, small enough for a
laptop.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/scenes64.py
Hardware: 2 CPU cores
Result:   configs/comparisons/scenes.py; our own recipe; network and learning rate are set in
          _backbone and _learning_rate and nowhere else
Knob:     schedule.samples
"""

_base_ = "../_base_/views_scenes64.py"

# A ResNet that ends with its stride-8 stage (the last two are empty). Dilated to stride 8 instead,
# the later stages would see the whole 64-px view and its padding from every cell, and pixel
# objectives learned little.
_backbone = dict(
    type="TimmBackbone",
    name="resnet10t",
    output_stride=8,
    stem_width=16,
    layers=(1, 2, 0, 0),
    channels=(32, 128, 128, 128),
)
_learning_rate = 1e-3  # of AdamW at a batch of 16

_root = "data/scenes"
model = dict(
    type="Pretrainer",
    backbone=_backbone,
    objectives=[dict(type="PixPro", hidden=256, dim=128)],
    momentum=dict(start=0.99, end=1.0),
)
# The label is that of the largest object; only the supervised control reads it.
source = dict(
    type="CocoImages",
    annotations=f"{_root}/instances_train.json",
    root=f"{_root}/images/train",
    label="largest",
)
# At this size an image is decoded and cropped in half a millisecond: worker processes would only
# take a core away.
loader = dict(workers=0)
# Many small steps: PixPro's projection first falls towards a constant and leaves it again only
# after some hundred steps (its loss sinks below -3, then rises), as in its authors' logs. 375 steps
# of 64 images ended inside that phase.
schedule = dict(
    global_batch=16,
    samples=24_000,
    warmup_samples=2_400,
    lr_rule="none",
    lr=_learning_rate,
    lr_min=1e-6,
)
optimizer = dict(type="AdamW", weight_decay=0.05)
engine = dict(precision="fp32", checkpoint_every=100, keep_checkpoints=1, log_every=10)
hooks = [dict(type="CollapseHook", every=250)]
vis_backends = []
seed = 0
