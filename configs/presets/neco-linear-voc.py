"""Linear segmentation of VOC 2012 as in the tables of the NeCo family: squashed images, masks of
100 × 100 pixels in training and test. For networks without registers.

Launch:   pixelpretext evaluate BACKBONE --preset neco-linear-voc --data voc:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set neco-linear-voc.mask_side=0 scores at 448 × 448 pixels
"""

version = 1
title = "VOC 2012 by a linear layer, NeCo's recipe, masks of 100 × 100 pixels"
benchmark = "linear_segmentation"
sources = dict(
    N="vpariza/NeCo, commit 3932160 of April 2025, MIT",
    L="MkuuWaUjinga/leopart, commit 7835701 of August 2022, MIT",
    ours="a choice of this project",
)
data = dict(
    layout=("voc", "N: linear_finetune.py", "another data set"),
    train=("trainaug", "N: linear_finetune.py", "train has 1,464 images"),
    val=("val", "N: linear_finetune.py", "other images are scored"),
    keep_ignored=(False, "N: ignore_index 255", "the border would be a class that is scored"),
)
counts = dict(
    train_images=(10_582, "N: trainaug"),
    val_images=(1_449, "N: val"),
    classes=(21, "N: num_classes"),
)
normalisation = ("weights", "N: ImageNet's, which its networks have", "colours not trained with")
features = dict(
    layers=((-1,), "N: forward_backbone", "features of another layer"),
    norm=(True, "N: forward_backbone", "features without the norm"),
    class_token=("none", "N: patches only", "every cell would also have the class token"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=(
        "factor",
        "N: DINO's and DINOv2's own code, without registers",
        "timm's rule: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("refuse", "N: 448 is whole patches of 14 and 16", "cells that are padding"),
    stride=(None, "N: the network's own", "another number of cells"),
)
input = dict(
    size=((448, 448), "N: size_crops", "a finer or coarser grid"),
    short_side=(448, "ours: not used by these views", "nothing"),
    long_side=(0, "ours: not used by these views", "nothing"),
    rounding=("down", "ours: not used by these views", "nothing"),
    antialias=(True, "N: torchvision on Pillow's images", "images scaled down have more noise"),
)
head = dict(
    dropout=(0.0, "N: a convolution alone", "a regularisation"),
    batch_norm=(False, "N: a convolution alone", "features would be standardised"),
    init_std=(0.0, "N: torch's own start of a convolution", "another start"),
)
train = dict(
    train_view=("area-crop", "N: RandomResizedCrop", "other training views"),
    ratio=((1.0, 1.0), "ours: not used by this view", "nothing"),
    largest_share=(1.0, "ours: not used by this view", "nothing"),
    area=((0.8, 1.0), "N: scale", "smaller parts of the image"),
    flip=(0.5, "N: RandomHorizontalFlip", "no mirrored images"),
    flip_by=("image", "N: RandomHorizontalFlip", "whole batches would be mirrored"),
    photometric=(False, "N: no change of colours", "nothing in this view"),
    hue=(0.0, "N: no change of colours", "nothing in this view"),
    length=(
        25,
        "N: configurations of DINO and of networks with registers",
        "the one of DINOv2 without registers has 20, so that the rate never drops",
    ),
    length_in=("epochs", "N: max_epochs", "another length"),
    drop_last=(True, "N: VOCDataModule", "one more batch per epoch"),
    images_per_step=(128, "N: batch_size", "another number of steps"),
    optimiser=("sgd", "N: configure_optimizers", "another optimiser"),
    lr=(0.01, "N: lr", "another step length"),
    weight_decay=(1e-4, "N: configure_optimizers", "another regularisation"),
    momentum=(0.9, "N: configure_optimizers", "another step length"),
    schedule=("drops", "N: StepLR, a tenth", "other last steps"),
    warmup=(0, "N: none", "nothing in this schedule"),
    drops=((20,), "N: drop_at", "when the rate drops"),
    seed=(400, "N: linear_finetune.py", "other weights, order and views"),
)
predict = dict(
    test_view=("squash", "N: Resize to a square", "images that keep their shape"),
    window_stride=(0, "ours: not used by this view", "nothing"),
    small_images=("whole", "ours: not used by this view", "nothing"),
    padded=("cut", "ours: nothing is padded", "nothing"),
    scales=((1.0,), "N: one", "nothing else fits this view"),
    flip_test=(False, "N: none", "mirror images give more"),
)
score = dict(
    mask_side=(
        100,
        "N: train_mask_size and val_mask_size, nearest",
        "coarse masks change the number: retrieval has 41.8 at 100, 47.7 at 448 (Franca, issue 2)",
    ),
    spare_outputs=(0, "N: num_classes", "outputs that are no class"),
    absent_as_zero=(True, "N: PredsmIoU divides by all classes", "nothing where all occur"),
    evaluations=(
        1,
        "ours: the source evaluates after each epoch and keeps the three best heads",
        "25 report the best of all epochs",
    ),
)
fixed = dict(
    loss=("cross-entropy at 100 × 100 cells, logits bilinear", "N: training_step"),
    precision=("float32", "N: Trainer"),
)
selection = "the last epoch"
seed = "seed"
tolerance = dict(mIoU=0.3)
deviations = (
    "The scores of the 1×1 convolution are resized to 100 × 100, the source resizes its features: "
    "both are linear, so that it is the same up to rounding.",
    "If a drawn crop does not fit ten times, the whole image is taken; the source cuts it to an "
    "aspect of 3:4 to 4:3.",
)
_row = dict(
    metric="mIoU",
    kind="authors",
    comparable="whether its table has the last or the best of its epochs is not confirmed",
)
published = [
    dict(model="NeCo on DINO S/16", value="65.8", source="N: README", **_row),
    dict(model="NeCo on TimeT S/16", value="68.5", source="N: README", **_row),
    dict(model="NeCo on Leopart S/16", value="68.3", source="N: README", **_row),
    dict(model="NeCo on DINOv2 S/14", value="81.4", source="N: README", **_row),
    dict(model="NeCo on DINOv2 B/14", value="84.5", source="N: README", **_row),
    dict(model="Leopart S/16", value="69.3", source="L: README", **_row),
]
