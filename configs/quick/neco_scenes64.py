"""NeCo on the embedded data set "scenes": two large and four small views without mirroring, which
overlap; network and schedule as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/neco_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     sort: "none" is the control without sorting
"""

_base_ = "scenes64.py"
_changes = dict(
    flip=0.0,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.5, p=0.8),
    grey=0.5,
)
_large = dict(
    size=64, scale=(0.25, 1.0), overlap=dict(group="global", share=0.02, of="image"), **_changes
)
_small = dict(
    size=32, scale=(0.05, 0.25), overlap=dict(group="global", share=0.01, of="image"), **_changes
)
model = dict(objectives=[dict(type="NeCo", hidden=256, dim=128, side=4, entries=2048)])
views = dict(groups={"global": [_large, _large], "local": [_small] * 4})
