"""Views for supervised training at 224 px: one view, random-resized crop and mirror, as common for
ResNets on ImageNet.

Result:   usual values; nothing has been trained with them here yet
Knob:     `scale`
"""

views = dict(type="ViewRecipe", groups={"global": [dict(size=224, scale=(0.08, 1.0), flip=0.5)]})
