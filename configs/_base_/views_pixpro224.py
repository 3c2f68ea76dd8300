"""Views of PixPro at 224 px: two asymmetric views ("BYOL" augmentation), probabilities and ranges
as in the official repository (contrast/data/transform.py): view 1 is always blurred, view 2 is
rarely blurred and sometimes solarised.

The crop's smallest area is 0.08 as in the released scripts (the argument parser's default there is
0.2).

Result:   settings confirmed by that source; nothing has been trained with them here yet
Knob:     `scale`; (0.2, 1.0) leaves 0.25 % instead of 2.3 % of the pairs without any positive
Differs:  the blur is a Gaussian, reflected at the edges; there it is PIL's, box filters that come
          near a Gaussian, with repeated edges. On photos that is .55 to 1.7 8-bit levels rms (at
          most 17) inside and up to 36 at the border
"""

_common = dict(
    size=224,
    scale=(0.08, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grey=0.2,
)
views = dict(
    type="ViewRecipe",
    groups={
        "global": [
            dict(blur=dict(p=1.0, sigma=(0.1, 2.0)), **_common),
            dict(
                blur=dict(p=0.1, sigma=(0.1, 2.0)),
                solarise=dict(p=0.2, threshold=128 / 255),
                **_common,
            ),
        ]
    },
)
