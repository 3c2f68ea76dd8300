"""Overclustering of VOC 2012 with 500 clusters as NeCo does it, for DINOv2 with registers, whose
positions are resampled as timm does it.

Launch:   pixelpretext evaluate BACKBONE --preset overcluster-neco-registers --data voc:ROOT
Hardware: one GPU or some CPU cores; 2.3 GB of memory for 384 channels, else two passes
Result:   not reproduced by us; the rows below are published by the authors
Knob:     see overcluster-neco, which this differs from in the positions alone
"""

_base_ = "overcluster-neco.py"
title = "VOC 2012 val, 500 clusters, for DINOv2 with registers"
sources = dict(
    _delete_=True,
    N="vpariza/NeCo, commit 3932160 of April 2025, MIT",
    ours="a choice of this project",
)
features = dict(
    positions=(
        "timm",
        "ours: DINOv2's own code, from which the source's networks come",
        "another resampling of the positions: up to .07 of a unit sine from 37 to 32 cells",
    ),
)
_row = dict(metric="mIoU", source="N: README", kind="authors")
published = [
    dict(model="NeCo on DINOv2R S/14", value="68.9", **_row),
    dict(model="NeCo on DINOv2R-XR S/14", value="72.6", **_row),
    dict(model="NeCo on DINOv2R B/14", value="71.9", **_row),
    dict(model="NeCo on DINOv2R-XR B/14", value="71.8", **_row),
]
