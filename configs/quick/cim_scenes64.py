"""CIM with a ResNet on the embedded data set "scenes"; network and schedule as in scenes64.py,
views are its own.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/cim_scenes64.py
Hardware: 2 CPU cores
Result:   docs/results.md and docs/objectives/cim.md; our own recipe
Knob:     rotation and scale of the exemplars; then correlation
"""

_base_ = "scenes64.py"

# Geometry as in configs/_base_/views_cim224.py, at half the size: with stride 8 the maps have 10 x
# 10 and 4 x 4 cells, as 160 and 64 px have with stride 16. Colours as in views_scenes64.py, for the
# same reason; no blur and no solarise.
_exemplar = dict(
    size=32,
    within="context",
    scale=(0.05, 0.48),
    ratio=(1 / 3, 3),
    rotation=45,
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.5, p=0.8),
    grey=0.5,
)
views = dict(
    _delete_=True,
    type="ViewRecipe",
    groups={"context": [dict(size=80, scale=(0.5, 1.0), flip=0.5)], "exemplar": [_exemplar] * 6},
)
model = dict(objectives=[dict(type="CIM", width=128, heads=4)], group="exemplar")
