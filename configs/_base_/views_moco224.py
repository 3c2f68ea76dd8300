"""Views usual for MoCo v2 at 224 px: two views of one distribution, half SimCLR's colour strength,
larger crops.

Result:   nothing has been trained with them here yet
Knob:     scale
Source:   confirmed by the code of DenseCL's authors, which has the same numbers
Differs:  the blur, as in views_pixpro224.py
"""

_view = dict(
    size=224,
    scale=(0.2, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    grey=0.2,
    blur=dict(p=0.5, sigma=(0.1, 2.0)),
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
