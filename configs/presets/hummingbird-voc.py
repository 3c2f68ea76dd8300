"""Dense nearest-neighbour retrieval on VOC 2012 with a memory of 10,240,000 patches, as the table
of open-hummingbird has it.

Launch:   pixelpretext evaluate BACKBONE --preset hummingbird-voc --data voc:ROOT
Hardware: one GPU; 16 GB of keys for 384 channels, half with --set hummingbird-voc.dtype=float16
Result:   not reproduced by us; the rows below are published by others
Knob:     hummingbird-voc-1m and hummingbird-voc-100k take a tenth and a hundredth of the memory
"""

version = 1
title = "VOC 2012 by dense nearest neighbours, memory of 10,240,000 patches"
benchmark = "retrieval"
sources = dict(
    O="vpariza/open-hummingbird-eval, commit 5e79da2 of November 2025, MIT",
    P="Balazevic et al., NeurIPS 2023, arXiv 2306.01667; its code is not public",
    D="sirkosophia/DIP, its ablation of the temperature",
    ours="a choice of this project",
)
data = dict(
    layout=("voc", "O: README", "another data set"),
    train=("trainaug", "O: README", "train has 1,464 images: a memory of other patches"),
    val=("val", "O: README", "other images are scored"),
    keep_ignored=(False, "O: hbird_eval.py", "the ignored border would be a class that is scored"),
)
counts = dict(
    train_images=(10_582, "O: README"),
    val_images=(1_449, "O: README"),
    classes=(21, "O: README"),
)
normalisation = (
    "weights",
    "O: transforms.py has ImageNet's, which fits all networks of its table",
    "colours that the network was not trained with",
)
features = dict(
    layers=((-1,), "O: the last block", "features of another layer"),
    norm=(True, "O: features as the network's own code returns them", "features without the norm"),
    class_token=("none", "O: no class token", "patches would also be matched by their images"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=(
        "factor",
        "O: DINO and DINOv2 from the authors' hubs, whose own rule this is",
        "another resampling of the positions: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("refuse", "ours: the published sizes are whole patches", "cells that are padding"),
    stride=(None, "O: the network's own", "another number of patches per image"),
)
input = dict(
    size=(
        dict(by_stride={8: (512, 512), 14: (504, 504), 16: (512, 512)}),
        "O: README, 504 for patches of 14",
        "a finer or coarser grid",
    ),
)
train = dict(
    memory_size=(10_240_000, "O: README, 10 M", "DINOv2 B/14 on VOC: 74.6 at 1 M, 69.1 at 0.1 M"),
    passes=(2, "O: defaults", "another number of augmented copies of each train image"),
    augment=(True, "O: transforms.py", "the memory holds whole images as they are"),
    seed=(0, "ours: the table names none", "other crops, colours and patches of the memory"),
    dtype=("float32", "O: defaults", "float16 halves the memory and rounds the keys"),
)
predict = dict(
    neighbours=(30, "O: defaults", "labels of fewer or of more patches are averaged"),
    temperature=(0.02, "O: defaults", "D saw about ± 0.2 mIoU between 0.03 and 0.09"),
    backend=(
        "auto",
        "ours: exact search by what the machine has",
        "the same neighbours, up to ties",
    ),
)
score = dict(
    mask_size=(
        None,
        "O: scores at the input's size",
        "at 100 × 100 instead of 448 a public thread has 41.8 instead of 47.7 (Franca, issue 2)",
    ),
    compat=(
        ("hungarian", "absent-is-zero", "ignore-is-class-0", "blue-std-0.255", "crop-scale-2"),
        "O: hbird_eval.py, transforms.py",
        "docs/retrieval.md says what each does, and by how much on a toy set",
    ),
)
fixed = dict(
    resize=("to a square, bilinear with antialiasing; masks by the nearest pixel", "O: defaults"),
    chosen_patches=("those with locally rare classes first", "O: hbird_eval.py"),
)
selection = "nothing is trained, so nothing is chosen"
tolerance = dict(mIoU=0.3)
deviations = (
    "Search is exact; the source's default is ScaNN, an approximation.",
    "An image gets all four changes of colour together at p 0.5; the source draws each of them.",
    "If a drawn crop does not fit ten times, the whole image is taken; the source cuts it to an "
    "aspect of 3:4 to 4:3.",
)
_row = dict(metric="mIoU", source="O: README", kind="reproduction")
published = [
    dict(model="vit_small_patch16_224.dino", value="46.6", **_row),
    dict(model="vit_base_patch16_224.dino", value="55.7", **_row),
    dict(model="vit_small_patch14_dinov2.lvd142m", value="77.0", **_row),
    dict(model="vit_base_patch14_dinov2.lvd142m", value="76.9", **_row),
    dict(model="vit_large_patch14_dinov2.lvd142m", value="74.8", **_row),
    dict(model="vit_giant_patch14_dinov2.lvd142m", value="73.6", **_row),
    dict(
        model="vit_base_patch16_224.dino",
        metric="mIoU",
        value="55.9",
        source="P: as quoted in the README of O",
        kind="reproduction",
        comparable="its code is not public, and its settings are not known",
    ),
]
