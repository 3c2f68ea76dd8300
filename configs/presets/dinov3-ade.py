"""Linear segmentation of ADE20K as DINOv3's model card has it: a linear layer on frozen features,
trained over crops of 512 pixels, tested in windows, the best of 8 evaluations.

Launch:   pixelpretext evaluate BACKBONE --preset dinov3-ade --data ade20k:ROOT
Hardware: one GPU; torchrun shares every batch of 16 among several
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set dinov3-ade.evaluations=1 reports the last iteration instead of the best
"""

version = 1
title = "ADE20K by a linear layer, DINOv3's recipe, the best of 8 evaluations"
benchmark = "linear_segmentation"
sources = dict(
    V3="facebookresearch/dinov3, commit 6876159 of July 2026, own licence: facts and numbers only",
    ours="a choice of this project",
)
data = dict(
    layout=("ade20k", "V3: configuration", "another data set"),
    train=("train", "V3: configuration", "another train part"),
    val=("val", "V3: configuration", "other images are scored"),
    keep_ignored=(
        False,
        "V3: labels v become v - 1, 0 becomes 255",
        "label 0 would be a 151st class that is trained and scored",
    ),
)
counts = dict(
    train_images=(20_210, "V3: data set"),
    val_images=(2_000, "V3: data set"),
    classes=(150, "V3: without label 0"),
)
normalisation = ("weights", "V3: ImageNet's, which the weights have", "colours not trained with")
features = dict(
    layers=((-1,), "V3: the last layer", "features of another layer"),
    norm=(True, "V3: the backbone's final norm", "features without the norm"),
    class_token=("none", "V3: patches only", "every cell would also have the class token"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=("timm", "V3: rotary, there is no table", "only networks with a table have a choice"),
    pad=("refuse", "V3: windows of 512 are whole patches", "cells that are padding"),
    stride=(
        16,
        "V3: a ConvNeXt's last map is brought to 16 pixels per cell, then normed; ViTs have 16",
        "a ConvNeXt would be read at its own stride of 32",
    ),
)
input = dict(
    size=((512, 512), "V3: crop and window", "another crop and window"),
    short_side=(512, "V3: configuration", "another scale of all objects"),
    long_side=(0, "V3: no limit", "long images would be smaller"),
    rounding=("half-up", "ours: the source does not say", "one pixel of a side"),
    antialias=(True, "V3: Pillow's bilinear filter at test", "images scaled down have more noise"),
)
head = dict(
    dropout=(0.1, "V3: of channels", "another regularisation"),
    batch_norm=(True, "V3: synchronised over 8 processes", "features would keep their scales"),
    init_std=(0.01, "V3: weights N(0, .01), bias 0", "another start"),
)
train = dict(
    train_view=("ratio-crop", "V3: random size and crop", "other training views"),
    ratio=((0.5, 2.0), "V3: of the short side", "objects of other sizes"),
    largest_share=(0.75, "V3: of one class, at most 10 tries", "crops of one class only"),
    area=((0.8, 1.0), "ours: not used by this view", "nothing"),
    flip=(0.5, "V3: probability", "no mirrored images"),
    flip_by=("image", "V3: each image", "whole batches would be mirrored"),
    photometric=(True, "V3: each at p .5: ± 32, .5 to 1.5, .5 to 1.5", "colours as they are"),
    hue=(0.5, "V3: of the whole circle", "DINOv2's recipe shifts by .1 at most"),
    length=(40_000, "V3: iterations", "a shorter or longer training"),
    length_in=("iterations", "V3: iterations", "a length that depends on the data set"),
    drop_last=(False, "ours: the source does not say", "a few images per epoch"),
    images_per_step=(16, "V3: 8 processes of 2", "other statistics of BatchNorm"),
    optimiser=("adamw", "V3: β .9 and .999", "another optimiser"),
    lr=(1e-3, "V3: configuration", "another step length"),
    weight_decay=(1e-3, "V3: configuration", "another regularisation"),
    momentum=(0.9, "ours: not used by AdamW", "nothing"),
    schedule=("dinov3", "V3: warm-up times a line, then a cosine", "other last steps"),
    warmup=(1500, "V3: iterations", "a faster or slower start"),
    drops=((), "ours: not used by this schedule", "nothing"),
    seed=(100, "V3: configuration", "other weights, order, views and dropout"),
)
predict = dict(
    test_view=("own", "V3: windows", "squashed images"),
    window_stride=(341, "V3: configuration", "more or fewer windows see a pixel"),
    small_images=("square", "V3: min(H, W) squared", "nothing: no side is below 512 here"),
    padded=("cut", "ours: nothing is padded", "nothing"),
    scales=((1.0,), "V3: no test-time augmentation", "several scales give more"),
    flip_test=(False, "V3: no test-time augmentation", "mirror images give more"),
)
score = dict(
    mask_side=(0, "V3: masks at their own size", "coarse masks are easier"),
    spare_outputs=(0, "V3: 150 outputs", "151 outputs scored as 150 classes"),
    absent_as_zero=(False, "V3: classes with a non-empty union", "nothing where all classes occur"),
    evaluations=(
        8,
        "V3: of the validation set, every 5 000 iterations, the best is reported",
        "the number would not be chosen on the images it is measured on",
    ),
)
fixed = dict(
    loss=("cross-entropy at the label's size, logits bilinear, label 0 left out", "V3: loss"),
    clipping=("none", "V3: configuration"),
    precision=("float32", "V3: configuration"),
    padding=("of crops: the network's mean colour, right and below, unlabelled", "V3: transforms"),
)
selection = "the best of 8 evaluations on the validation set; last_mIoU is that of the last"
seed = "seed"
tolerance = dict(mIoU=0.3)
deviations = (
    "The loss is the mean over all labelled pixels of a batch; that of the source is the mean of 8 "
    "processes' means.",
    "Colours are changed in floating point.",
)
_row = dict(metric="mIoU", source="V3: MODEL_CARD", kind="authors")
published = [
    dict(model="vit_small_patch16_dinov3.lvd1689m", value="47.0", **_row),
    dict(model="vit_small_plus_patch16_dinov3.lvd1689m", value="48.8", **_row),
    dict(model="vit_base_patch16_dinov3.lvd1689m", value="51.8", **_row),
    dict(model="vit_large_patch16_dinov3.lvd1689m", value="54.9", **_row),
    dict(model="vit_huge_plus_patch16_dinov3.lvd1689m", value="54.8", **_row),
    dict(model="vit_7b_patch16_dinov3.lvd1689m", value="55.9", **_row),
    dict(model="convnext_tiny.dinov3_lvd1689m", value="42.7", **_row),
    dict(model="convnext_small.dinov3_lvd1689m", value="44.8", **_row),
    dict(model="convnext_base.dinov3_lvd1689m", value="46.3", **_row),
    dict(model="convnext_large.dinov3_lvd1689m", value="47.8", **_row),
]
