"""The linear probe that upsamplers are compared by, with JAFAR's schedule, on VOC 2012: the rate of
learning goes up and down every 40 iterations and here ends at its peak.

Launch:   pixelpretext evaluate BACKBONE --preset jafar-probe-voc --data voc:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by JAFAR's authors
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

version = 1
title = "VOC 2012 by the probe of upsamplers, JAFAR's schedule"
benchmark = "linear_segmentation"
sources = dict(
    JAF="PaulCouairon/JAFAR, commit 94d4d54 of July 2025, Apache-2.0",
    ours="a choice of this project",
)
data = dict(
    layout=("voc", "JAF: data set", "another data set"),
    train=("train", "JAF: data set", "trainaug has 10,582 images"),
    val=("val", "JAF: data set", "other images are scored"),
    keep_ignored=(False, "JAF: pixels of 255 are left out", "the border would be a class"),
)
counts = dict(
    train_images=(1_464, "JAF: data set"),
    val_images=(1_449, "JAF: data set"),
    classes=(21, "JAF: data set"),
)
normalisation = ("weights", "JAF: ImageNet's, which its network has", "colours not trained with")
features = dict(
    layers=((-1,), "JAF: the last layer", "features of another layer"),
    norm=(True, "JAF: normed", "features without the norm"),
    class_token=("none", "JAF: patches only", "every cell would also have the class token"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=(
        "timm",
        "ours: the source does not say",
        "DINOv2's own rule: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("refuse", "JAF: 448 is whole patches of 14 and 16", "cells that are padding"),
    stride=(None, "JAF: the network's own", "another number of cells"),
)
input = dict(
    size=((448, 448), "JAF: centre crop", "a finer or coarser grid"),
    short_side=(448, "JAF: bilinear", "another scale of all objects"),
    long_side=(0, "JAF: any", "long images would be smaller"),
    rounding=("down", "JAF: torchvision's rule", "one pixel of the longer side"),
    antialias=(True, "JAF: torchvision on Pillow's images", "images scaled down have more noise"),
)
head = dict(
    dropout=(0.0, "JAF: a convolution alone", "a regularisation"),
    batch_norm=(False, "JAF: a convolution alone", "features would be standardised"),
    init_std=(0.0, "JAF: torch's own start of a convolution", "another start"),
)
train = dict(
    train_view=("centre", "JAF: short side and centre crop", "other training views"),
    ratio=((1.0, 1.0), "ours: not used by this view", "nothing"),
    largest_share=(1.0, "ours: not used by this view", "nothing"),
    area=((1.0, 1.0), "ours: not used by this view", "nothing"),
    flip=(0.5, "JAF: probability", "no mirrored images"),
    flip_by=("batch", "JAF: one coin for the whole batch", "each image would have its own"),
    photometric=(False, "JAF: no change of colours", "nothing in this view"),
    hue=(0.0, "JAF: no change of colours", "nothing in this view"),
    length=(20, "JAF: epochs", "a shorter or longer training"),
    length_in=("epochs", "JAF: epochs", "another length"),
    drop_last=(False, "JAF: 29,760 iterations on Cityscapes", "a few images per epoch"),
    images_per_step=(2, "JAF: batch", "the schedule counts iterations: another number of them"),
    optimiser=("adamw", "JAF: β .9 and .999", "another optimiser"),
    lr=(5e-4, "JAF: configuration", "another step length"),
    weight_decay=(1e-5, "JAF: configuration", "another regularisation"),
    momentum=(0.9, "ours: not used by AdamW", "nothing"),
    schedule=(
        "cosine-20",
        "JAF: ½(1 + cos(πg/20)) at iteration g",
        "the mean rate stays ½ of the peak; the last steps, and the number, do not",
    ),
    warmup=(0, "JAF: none", "nothing in this schedule"),
    drops=((), "ours: not used by this schedule", "nothing"),
    seed=(0, "ours: the source names none", "other weights, order and coins"),
)
predict = dict(
    test_view=("centre", "JAF: short side and centre crop", "whole images, in windows"),
    window_stride=(0, "ours: not used by this view", "nothing"),
    small_images=("whole", "ours: not used by this view", "nothing"),
    padded=("cut", "ours: nothing is padded", "nothing"),
    scales=((1.0,), "JAF: one", "nothing else fits this view"),
    flip_test=(False, "JAF: none", "mirror images give more"),
)
score = dict(
    mask_side=(0, "JAF: 448 × 448", "coarse masks are easier"),
    spare_outputs=(0, "JAF: as many as classes", "outputs that are no class"),
    absent_as_zero=(False, "JAF: macro IoU of torchmetrics", "nothing where all occur"),
    evaluations=(1, "JAF: the last epoch", "the best of several is chosen on the scored images"),
)
fixed = dict(
    loss=("cross-entropy over pixels other than 255, labels nearest to their centre", "JAF: loss"),
    upsampling=("of features, to one per pixel, before the convolution", "JAF: evaluation"),
)
selection = "the last epoch"
seed = "seed"
tolerance = dict(mIoU=0.3)
deviations = (
    "Without an upsampler the scores of the 1×1 convolution are resized bilinearly instead of the "
    "features: the same up to rounding, and the row of bilinear.",
)
_row = dict(
    model="vit_small_patch14_dinov2.lvd142m",
    metric="mIoU",
    source="JAF: README",
    kind="reproduction",
)
published = [
    dict(value="80.70", **_row),
    dict(value="80.70", upsampler="bilinear", **_row),
    dict(value="81.08", upsampler="FeatUp", **_row),
    dict(value="78.06", upsampler="LiFT", **_row),
    _row | dict(value="84.44", upsampler="JAFAR", kind="authors"),
]
