"""ImageNet-1k, training split: 1,281,167 images, one folder per class.

Self-supervised objectives ignore the classes.
"""

source = dict(type="ImageFolder", root="data/imagenet/train")
