"""Views of SimCLR at 224 px: two views of one distribution, colour strength 1 (jitter 0.8, 0.8,
0.8, 0.2).

Result:   nothing has been trained with them here yet
Knob:     the jitter strength; halve all four for small images
Source:   confirmed by the authors' code (jitter p 0.8, greyscale p 0.2, blur p 0.5 with sigma 0.1
          to 2)
Differs:  crops are torchvision's and resampled bilinearly with antialiasing, there TensorFlow's and
          bicubically; blur kernels end at 3 sigma
"""

_view = dict(
    size=224,
    scale=(0.08, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
    grey=0.2,
    blur=dict(p=0.5, sigma=(0.1, 2.0)),
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
