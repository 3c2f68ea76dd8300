"""CIFAR-10, the 50,000 training images as PNG files, one folder per class."""

source = dict(type="ImageFolder", root="data/cifar10/train")
