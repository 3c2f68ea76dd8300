"""Views for small images (the embedded data set "scenes", 64 px): two views of one distribution.

Colour changes far more than in the papers' recipes (hue over the whole circle, half the views
grey): in scenes an object's colour says nothing of its class, yet within one image it tells objects
apart. No blur and no solarise: 64 px leave little texture to spare. Crops keep at least 20 % of the
area: at stride 8 the map has 8 × 8 cells, and smaller crops leave many pairs without a positive.

Result:   our own choice for the quick comparisons, from a few one-seed trials on scenes
          (docs/results.md)
Knob:     `scale`
"""

_view = dict(
    size=64,
    scale=(0.2, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.5, p=0.8),
    grey=0.5,
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
