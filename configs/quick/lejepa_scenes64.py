"""LeJEPA on cells on the embedded data set "scenes", with two small local views; everything else as
in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/lejepa_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     level: "vectors" is LeJEPA as published
"""

_base_ = "scenes64.py"
_local = dict(size=32, scale=(0.05, 0.4), jitter=dict(brightness=0.4, contrast=0.4), grey=0.2)
model = dict(
    objectives=[dict(type="LeJEPA", level="cells", hidden=256, dim=32, directions=128, cells=8)]
)
views = dict(groups=dict(local=[_local, _local]))
