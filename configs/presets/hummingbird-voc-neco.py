"""Dense nearest-neighbour retrieval on VOC 2012 scored at 100 × 100 pixels, as the tables of the
NeCo family are. What else their tables were made with is not confirmed, so their rows are shown and
not compared.

Launch:   pixelpretext evaluate BACKBONE --preset hummingbird-voc-neco --data voc:ROOT
Hardware: one GPU
Result:   not reproduced by us; the rows below are published by the authors
Knob:     --set hummingbird-voc-neco.mask_size=None scores at the input's size
"""

_base_ = "hummingbird-voc.py"
title = "VOC 2012 by dense nearest neighbours, masks of 100 × 100 pixels"
sources = dict(N="vpariza/NeCo, commit 3932160 of April 2025, MIT")
score = dict(
    mask_size=(
        (100, 100),
        "N: masks of 100 × 100 pixels",
        "at 448 instead of 100 a public thread has 47.7 instead of 41.8 (Franca, issue 2)",
    ),
)
_row = dict(
    metric="mIoU",
    source="N: README",
    kind="authors",
    comparable="size of the memory, of the input, and augmentation are not confirmed",
)
published = [
    dict(model="NeCo on DINO S/16", value="61.3", **_row),
    dict(model="NeCo on TimeT S/16", value="66.5", **_row),
    dict(model="NeCo on Leopart S/16", value="66.2", **_row),
    dict(model="NeCo on DINOv2 S/14", value="78.6", **_row),
    dict(model="NeCo on DINOv2R S/14", value="80.7", **_row),
    dict(model="NeCo on DINOv2R-XR S/14", value="80.2", **_row),
    dict(model="NeCo on DINOv2 B/14", value="82.8", **_row),
    dict(model="NeCo on DINOv2R B/14", value="82.9", **_row),
    dict(model="NeCo on DINOv2R-XR B/14", value="83.5", **_row),
]
