"""Linear segmentation of VOC 2012 with DINOv2's recipe, as Denoising ViT ran it for networks of
timm. It trains on 1,464 images, not on the 10,582 of the augmented set.

Launch:   pixelpretext evaluate BACKBONE --preset dinov2-linear-voc --data voc:ROOT
Hardware: one GPU; torchrun shares every batch of 16 among several
Result:   not reproduced by us; the rows below are published by others
Knob:     --data voc:ROOT?train=trainaug takes the augmented set, which renames the preset
"""

_base_ = "dinov2-linear-ade.py"
title = "VOC 2012 by a linear layer, DINOv2's recipe"
data = dict(
    layout=("voc", "DVT: configuration", "another data set"),
    train=("train", "DVT: split", "trainaug has 10,582 images"),
    keep_ignored=(False, "DVT: 255 is ignored", "the border would be a class that is scored"),
)
counts = dict(
    train_images=(1_464, "DVT: split"),
    val_images=(1_449, "DVT: split"),
    classes=(21, "DVT: num_classes, the background counted"),
)
_row = dict(metric="mIoU", source="DVT: README", kind="reproduction")
published = [
    dict(model="vit_small_patch14_dinov2.lvd142m", value="81.78", **_row),
    dict(model="vit_base_patch14_dinov2.lvd142m", value="83.52", **_row),
    dict(model="vit_large_patch14_dinov2.lvd142m", value="83.43", **_row),
    dict(model="vit_small_patch14_reg4_dinov2.lvd142m", value="80.88", **_row),
    dict(model="vit_base_patch14_reg4_dinov2.lvd142m", value="83.48", **_row),
    dict(model="vit_large_patch14_reg4_dinov2.lvd142m", value="83.21", **_row),
    dict(model="deit3_base_patch16_224.fb_in1k", value="71.03", **_row),
    dict(model="vit_base_patch16_clip_384.laion2b_ft_in12k_in1k", value="77.75", **_row),
    dict(model="vit_base_patch16_224.dino", value="62.92", **_row),
    dict(model="vit_base_patch16_224.mae", value="50.29", **_row),
    dict(model="eva02_base_patch16_clip_224.merged2b", value="71.49", **_row),
    dict(model="vit_base_patch16_384.augreg_in21k_ft_in1k", value="73.51", **_row),
]
