"""Views of CIM at ImageNet size: a context of 160 px and, cut out of it, six exemplars of 64 px.

Areas, aspects, colour, blur, solarise and mirroring as in the released script: the context is a
crop of (0.5, 1.0) of the image without any change of colour; exemplars cover (0.05, 0.48) of it
before they are turned by up to 45 degrees and trimmed.

Result:   settings confirmed by that source; nothing has been trained with them here yet
Knob:     the ablations of the paper are settings here: `scale` and `ratio` of the exemplar (scale,
          shape), `rotation`, the number of exemplars, and jitter, grey, blur, solarise, flip
          (transformations)
Differs:  exemplars are cut from the image itself instead of from its 224 px version; resampling is
          antialiased bilinear instead of bicubic, turning bilinear instead of nearest; angles are
          not rounded to whole degrees
"""

_exemplar = dict(
    size=64,
    within="context",
    scale=(0.05, 0.48),
    ratio=(1 / 3, 3),
    rotation=45,
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grey=0.2,
    blur=dict(p=0.5, sigma=(0.1, 2.0)),
    solarise=dict(p=0.2, threshold=128 / 255),
)
views = dict(
    type="ViewRecipe",
    groups={"context": [dict(size=160, scale=(0.5, 1.0), flip=0.5)], "exemplar": [_exemplar] * 6},
)
