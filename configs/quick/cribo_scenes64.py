"""CrIBo beside DINO, as its authors have it, on the embedded data set "scenes", everything but the
objectives as in scenes64.py.

The queue holds the regions of 512 of the 2400 training images: with all of them a region's nearest
one would often be itself, seen before

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/cribo_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     clusters
"""

_base_ = "scenes64.py"
_heads = dict(prototypes=512, hidden=256, bottleneck=64)
_sharpening = dict(how="centring", warmup_epochs=4)
model = dict(
    objectives=[
        dict(type="CrIBo", clusters=8, images=512, sharpening=_sharpening, **_heads),
        dict(type="DINO", sharpening=_sharpening, **_heads),
    ]
)
