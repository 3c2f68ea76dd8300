"""Linear segmentation of ADE20K as in the tables of the NeCo family: 151 outputs of which one never
occurs, so that 150/151 is the best possible mIoU.

Launch:   pixelpretext evaluate BACKBONE --preset neco-linear-ade --data ade20k:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set neco-linear-ade.spare_outputs=0 trains and averages 150 classes
"""

_base_ = "neco-linear-voc.py"
title = "ADE20K by a linear layer, NeCo's recipe, 151 outputs, masks of 100 × 100 pixels"
sources = dict(F="valeoai/Franca, commit 24f8c60 of July 2025, code Apache-2.0")
data = dict(
    layout=("ade20k", "N: linear_finetune.py", "another data set"),
    train=("train", "N: Ade20kDataModule", "another train part"),
    keep_ignored=(
        False,
        "N: ignore_index 0, in the loss and in the score",
        "label 0 would be trained and scored",
    ),
)
counts = dict(
    train_images=(20_210, "N: data set"),
    val_images=(2_000, "N: data set"),
    classes=(150, "N: without label 0, which has an output all the same"),
)
score = dict(
    spare_outputs=(
        1,
        "N: num_classes 151, label 0 counts as IoU 0",
        "150 outputs: the mIoU is divided by 150 instead of 151",
    ),
)
_row = dict(
    metric="mIoU",
    source="F: README",
    kind="authors",
    comparable="which epochs and input size its table has is not confirmed",
)
published = [
    dict(model="Franca B/14", value="39.1", **_row),
    dict(model="Franca L/14", value="41.3", **_row),
    dict(model="Franca L/14 LAION", value="41.4", **_row),
    dict(model="Franca g/14", value="40.2", **_row),
    dict(model="Franca g/14 LAION", value="42.4", **_row),
]
