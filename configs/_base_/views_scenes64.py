# Views for small images (the embedded data set "scenes", 64 px): two views of one distribution.
# Jitter and greyscale as PixPro; no blur and no solarise, which destroy texture at this size. Crops keep at least
# 30 % of the area: at stride 8 the map has 8 × 8 cells, and smaller crops would leave many pairs without a positive.
# Status: our own choice for the quick comparisons, not tuned.
# Knob people ask for: `scale`.
_view = dict(
    size=64,
    scale=(0.3, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grey=0.2,
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
