"""Segmentation of ADE20K by the nearest labelled patches, as the code of CAPI runs it.

Launch:   pixelpretext evaluate BACKBONE --preset capi-knn --data ade20k:ROOT
Hardware: one GPU; 12 GB of train patches of a ViT-B/16, half with --set capi-knn.dtype=float16
Result:   not reproduced by us; the rows below are published by the authors, whose weights need
          their own code
Knob:     --set "capi-knn.neighbours=(30,)" capi-knn.distances=cosine leaves nothing to choose
"""

version = 1
title = "ADE20K by labels of the nearest patches, pixel by pixel"
benchmark = "patch_knn"
sources = dict(
    C="facebookresearch/capi, commit 98b4fa1 of February 2026, Apache-2.0",
    ours="a choice of this project",
)
data = dict(
    layout=("ade20k", "C: ADE20K", "VOC: C says itself that its loader does not give the paper's"),
    train=("train", "C: ADE20K", "other patches vote"),
    val=("val", "C: ADE20K", "other images are scored"),
    keep_ignored=(
        False,
        "C: pixels of label 0 and 255 are not scored",
        "label 0 would be a class whose pixels are scored",
    ),
)
counts = dict(
    train_images=(20_210, "C: ADE20K"),
    val_images=(2_000, "C: ADE20K"),
    classes=(150, "C: without label 0"),
)
normalisation = (
    "weights",
    "C: ImageNet's, which its networks were trained with",
    "colours that the network was not trained with",
)
features = dict(
    layers=((-1,), "C: the last layer", "features of another layer"),
    norm=(True, "C: normed patches", "features without the norm"),
    class_token=("none", "C: patches alone", "patches would also be matched by their images"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=("timm", "ours: C states none for other networks", "another resampling of a table"),
    pad=("refuse", "ours: 224 is whole patches of 14 and 16", "cells that are padding"),
    stride=(None, "C: the network's own", "another number of patches per image"),
)
input = dict(
    size=((224, 224), "C: squashed to 224 × 224", "a finer or coarser grid"),
    resample=("bicubic", "C: Pillow's", "slightly other pixels"),
)
train = dict(
    standardise=(True, "C: by the statistics of the train patches", "large channels decide alone"),
    held_back=(0.1, "C: 90 / 10 at random", "the choice is made on fewer or more images"),
    seed=(0, "ours: C states none", "other images are held back; mostly the same choice"),
    dtype=("float32", "ours: C searches in bfloat16", "float16 halves the memory"),
)
predict = dict(
    neighbours=((1, 3, 10, 30), "C: of which one is chosen", "another number may be best"),
    distances=(("cosine", "euclidean"), "C: of which one is chosen", "the other may be better"),
    backend=(
        "auto",
        "ours: exact search by what the machine has",
        "the same neighbours, up to ties",
    ),
)
fixed = dict(
    vote=("per pixel of the patch, the smallest label of equals", "C: its prediction"),
    dropped=("train patches whose most frequent label is none of the classes", "C: its loader"),
    score=(
        "at the input's size, mean IoU of the labels that occur in truth or prediction; where the "
        "ignored label is predicted, one more with an IoU of 0",
        "C: macro Jaccard index",
    ),
)
selection = "k and distance by mIoU on the held-back 10 % of the train images, then all of them"
tolerance = dict(mIoU=0.3)
deviations = (
    "The search is in float32; the source's is in bfloat16.",
    "Which images are held back: the source's draw is not known.",
)
_row = dict(metric="mIoU", source="C: README, kNN on ADE20K", kind="authors")
published = [
    dict(model="CAPI ViT-L, Places205", value="35.2", **_row),
    dict(model="CAPI ViT-L, LVD", value="32.1", **_row),
    dict(model="CAPI ViT-L, IN22k", value="29.7", **_row),
    dict(model="CAPI ViT-L, IN1k", value="29.2", **_row),
]
