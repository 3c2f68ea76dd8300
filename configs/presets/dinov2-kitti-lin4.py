"""Depth on KITTI's Eigen split by a linear head on four layers, in the frame of DINOv2's
evaluation; ViT-S and ViT-B. What the source does not state is taken from its NYUv2 protocol.

Launch:   pixelpretext evaluate BACKBONE --preset dinov2-kitti-lin4 --data kitti-eigen:ROOT
Hardware: one GPU; 38,400 steps of 16 crops, and 48 looks at the 652 test images
Result:   not reproduced by us; no published number is confirmed
Knob:     features.layers=(4,11,17,23) for ViT-L, (9,19,29,39) for ViT-g
"""

_base_ = "dinov2-nyu-lin4.py"
title = "KITTI depth by a linear head, four layers of a ViT-S or ViT-B, best of 48 looks"
data = dict(
    layout=("kitti-eigen", "V2: Eigen's lists", "another data set"),
    train=("train", "V2: Eigen's lists", "a head of other images"),
    val=("val", "V2: Eigen's lists", "other images are scored"),
)
counts = dict(
    train_images=(23_158, "V2: lines of kitti_eigen_train.txt"),
    val_images=(652, "V2: those of 697 test lines that have depth"),
)
input = dict(
    size=((352, 1216), "V2: KB crop", "another part of the frames"),
    sizing=("bottom", "V2: KB crop, top = H − 352, left = ⌊(W − 1216) / 2⌋", "more sky"),
    train_frame=((), "V2: the KB crop is the frame", "views of a part of it"),
    crop_size=((352, 704), "V2: KITTI config", "another share of the road per view"),
)
head = dict(
    max_depth=(80.0, "V2: KITTI config", "farther pixels would count, bins lie wider apart"),
)
score = dict(
    scored=((143, 43, 349, 1172), "V2: Garg crop", "() scores the sky and the car, too"),
)
deviations = (
    "One process: the loss is that of 8 groups of 2 images, averaged.",
    "Learning rate, augmentation and looks are those of NYUv2; the source's were not at hand.",
    "The head is applied before the features are enlarged, which gives the same outputs.",
    "Gamma acts on values in [0, 1]; on which values it acts in the source is not known.",
)
published = []
