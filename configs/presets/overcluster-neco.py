"""Overclustering of VOC 2012 with 500 clusters as NeCo does it, for networks whose positions are
resampled by DINO's own rule: DINO, and DINOv2 without registers.

Launch:   pixelpretext evaluate BACKBONE --preset overcluster-neco --data voc:ROOT
Hardware: one GPU or some CPU cores; 2.3 GB of memory for 384 channels, else two passes
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --seeds 0 1 2 3 4 takes the mean of five clusterings, as the source does
"""

version = 1
title = "VOC 2012 val, 500 clusters of all cells named by most of their pixels"
benchmark = "overcluster"
sources = dict(
    N="vpariza/NeCo, commit 3932160 of April 2025, MIT",
    L="MkuuWaUjinga/leopart, commit 7835701 of August 2022, MIT",
    ours="a choice of this project",
)
data = dict(
    layout=("voc", "N: README", "another data set"),
    train=("train", "ours: not read by this benchmark", "nothing"),
    val=("val", "N: README", "other images are clustered and scored"),
    keep_ignored=(False, "N: 255 is left out", "the ignored border would be a class"),
)
counts = dict(val_images=(1_449, "N: README"), classes=(21, "N: README"))
normalisation = (
    "weights",
    "N: ImageNet's, which fits all networks of its table",
    "colours that the network was not trained with",
)
features = dict(
    layers=((-1,), "N: the last block", "features of another layer"),
    norm=(True, "N: normed patches", "features without the norm"),
    class_token=("none", "N: patches only", "cells would also be clustered by their images"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=(
        "factor",
        "ours: DINO's and DINOv2's own code, from which the source's networks come",
        "another resampling of the positions: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("refuse", "ours: 448 is whole patches", "cells that are padding"),
    stride=(None, "N: the network's own", "another number of cells per image"),
)
input = dict(size=((448, 448), "N: 448, aspect ratio not kept", "a finer or coarser grid"))
train = dict(
    components=(50, "N: PCA to 50 of standardised cells", "more of the small differences"),
    clusters=(500, "N: K of its table", "many clusters flatter: labels name each of them"),
    clustering=("faiss", "N: faiss", "other starts, hence other clusters"),
    iterations=(100, "N: k-means", "clusters further from their optimum"),
    restarts=(5, "N: k-means", "a worse optimum"),
    points_per_cluster=(
        256,
        "N: faiss' own limit, which the source leaves as it is",
        "128,000 of 1.5 million cells fit the clusters; more would fit them better",
    ),
    seed=(0, "N: 0 to 4, and the mean of them", "other clusters"),
)
predict = dict(
    matching=(
        "precision",
        "N: many to one, each cluster the class it holds most of",
        "on a small table .423 by precision, .523 by IoU, .532 one to one",
    ),
)
score = dict(
    mask_size=((100, 100), "N: clusters and masks at 100 × 100", "finer borders are scored"),
    absent_classes=(True, "N: the mean is over all 21 classes", "nothing, on the whole of VOC val"),
)
fixed = dict(
    standardised=("every channel, over all cells", "N: the code"),
    distance=("Euclidean", "N: the code"),
)
selection = "the mean of the clusterings; --seeds says which"
seed = "seed"
tolerance = dict(mIoU=0.3)
deviations = (
    "Masks and clusters take the label under the centre of each pixel of 100 × 100; the source "
    "takes the nearest, by a rule that may differ by half a pixel.",
    "The clusters of one seed are others than the source's: cells come in another order.",
)
_row = dict(metric="mIoU", source="N: README", kind="authors")
published = [
    dict(model="NeCo on DINO S/16", value="47.9", **_row),
    dict(model="NeCo on TimeT S/16", value="53.1", **_row),
    dict(model="NeCo on Leopart S/16", value="55.3", **_row),
    dict(model="NeCo on DINOv2 S/14", value="57.7", **_row),
    dict(model="NeCo on DINOv2 B/14", value="71.1", **_row),
    dict(
        model="Leopart S/16",
        metric="mIoU",
        value="53.5",
        source="L: README",
        kind="authors",
        comparable="which of its two programs clustered is not confirmed",
    ),
]
