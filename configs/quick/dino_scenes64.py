"""DINO with KoLeo, the plain control of a post-training, on the embedded data set "scenes", with
two small local views; everything else as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/dino_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     prototypes
"""

_base_ = "scenes64.py"
_local = dict(size=32, scale=(0.05, 0.4), jitter=dict(brightness=0.4, contrast=0.4), grey=0.2)
model = dict(
    objectives=[
        dict(
            type="DINO",
            prototypes=512,
            hidden=256,
            bottleneck=64,
            sharpening=dict(warmup_epochs=4),
        ),
        dict(type="KoLeo", weight=0.1),
    ],
)
views = dict(groups=dict(local=[_local, _local]))
