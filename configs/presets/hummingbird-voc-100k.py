"""Dense nearest-neighbour retrieval on VOC 2012 with a memory of 102,400 patches, as the table of
open-hummingbird has it.

Launch:   pixelpretext evaluate BACKBONE --preset hummingbird-voc-100k --data voc:ROOT
Hardware: one GPU, or CPUs and patience; 0.16 GB of keys for 384 channels
Result:   not reproduced by us; the rows below are published by others
Knob:     see hummingbird-voc, which this differs from in the size of the memory alone
"""

_base_ = "hummingbird-voc.py"
title = "VOC 2012 by dense nearest neighbours, memory of 102,400 patches"
train = dict(
    memory_size=(102_400, "O: README, 0.1 M", "DINOv2 B/14 there: 76.9 at 10 M, 74.6 at 1 M")
)
_row = dict(metric="mIoU", source="O: README", kind="reproduction")
published = [
    dict(model="vit_small_patch16_224.dino", value="37.2", **_row),
    dict(model="vit_base_patch16_224.dino", value="44.9", **_row),
    dict(model="vit_small_patch14_dinov2.lvd142m", value="70.2", **_row),
    dict(model="vit_base_patch14_dinov2.lvd142m", value="69.1", **_row),
    dict(model="vit_large_patch14_dinov2.lvd142m", value="64.6", **_row),
    dict(model="vit_giant_patch14_dinov2.lvd142m", value="62.3", **_row),
]
