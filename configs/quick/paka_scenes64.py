"""PaKA on the embedded data set "scenes": small changed views learn from the clean large views that
show them; network and schedule as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/paka_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     side: with few cells everything is somewhat aligned
"""

_base_ = "scenes64.py"
_clean = dict(size=64, scale=(0.25, 1.0), flip=0.5)
_small = dict(
    size=32,
    scale=(0.05, 0.25),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.5, p=0.8),
    grey=0.5,
)
# Each large view has small views that lie in it, nine tenths of them at least.
_in_first = dict(_small, overlap=dict(group="global", view=0, share=0.9, of="crop"))
_in_second = dict(_small, overlap=dict(group="global", view=1, share=0.9, of="crop"))
model = dict(
    objectives=[
        dict(type="PaKA", student="local", hidden=256, dim=128, side=4, least_share=0.9),
    ],
    group="local",  # what the trained network sees
)
views = dict(groups={"global": [_clean, _clean], "local": [_in_first, _in_second] * 2})
