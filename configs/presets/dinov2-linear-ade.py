"""Linear segmentation of ADE20K with DINOv2's recipe, as Denoising ViT ran it for networks of timm.

Launch:   pixelpretext evaluate BACKBONE --preset dinov2-linear-ade --data ade20k:ROOT
Hardware: one GPU; torchrun shares every batch of 16 among several
Result:   not reproduced by us; the rows below are published by others
Knob:     --set dinov2-linear-ade.padded=cut places the scores of padded windows where they belong
"""

version = 1
title = "ADE20K by a linear layer, DINOv2's recipe"
benchmark = "linear_segmentation"
sources = dict(
    DVT="Jiawei-Yang/Denoising-ViT, commit 82704df of November 2024, MIT",
    V2="facebookresearch/dinov2, commit b8931f7 of August 2025, Apache-2.0",
    ours="a choice of this project",
)
data = dict(
    layout=("ade20k", "DVT: configuration", "another data set"),
    train=("train", "DVT: configuration", "another train part"),
    val=("val", "DVT: configuration", "other images are scored"),
    keep_ignored=(
        False,
        "DVT: reduce_zero_label",
        "label 0 would be a 151st class that is trained and scored",
    ),
)
counts = dict(
    train_images=(20_210, "DVT: data set"),
    val_images=(2_000, "DVT: data set"),
    classes=(150, "DVT: num_classes"),
)
normalisation = (
    dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "DVT: Normalize, ImageNet's for all networks, also for those that were trained with others",
    "the networks' own colours: other numbers for CLIP, EVA-02 and AugReg",
)
features = dict(
    layers=((-1,), "DVT: the last of its four layers", "features of another layer"),
    norm=(True, "DVT: configuration", "features without the norm"),
    class_token=("none", "DVT: patches only", "every cell would also have the class token"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=(
        "timm",
        "DVT: networks of timm, whose rule it is",
        "DINOv2's own rule: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("centre", "V2: zeros around every window, 512 becomes 518", "another place of the cells"),
    stride=(None, "DVT: the network's own", "another number of cells"),
)
input = dict(
    size=((512, 512), "DVT: crop_size", "another crop and window"),
    short_side=(512, "DVT: img_scale", "another scale of all objects"),
    long_side=(2048, "DVT: img_scale", "very long images would be larger"),
    rounding=("half-up", "DVT: keep_ratio of mmcv 1.5", "one pixel of a side"),
    antialias=(
        False,
        "DVT: mmsegmentation 0.27, whose default is OpenCV's filter",
        "images scaled down are smoother",
    ),
)
head = dict(
    dropout=(0.0, "DVT: dropout_ratio", "a regularisation"),
    batch_norm=(True, "DVT: BNHead, synchronised", "features would keep their scales"),
    init_std=(0.01, "V2: weights N(0, .01), bias 0", "another start"),
)
train = dict(
    train_view=("ratio-crop", "DVT: Resize and RandomCrop", "other training views"),
    ratio=((0.5, 2.0), "DVT: ratio_range", "objects of other sizes"),
    largest_share=(0.75, "DVT: cat_max_ratio", "crops of one class only"),
    area=((0.8, 1.0), "ours: not used by this view", "nothing"),
    flip=(0.5, "DVT: RandomFlip", "no mirrored images"),
    flip_by=("image", "DVT: RandomFlip", "whole batches would be mirrored"),
    photometric=(True, "DVT: PhotoMetricDistortion", "colours as they are"),
    hue=(0.1, "V2: 18 of 180", "DINOv3's recipe shifts by .5"),
    length=(40_000, "DVT: max_iters", "a shorter or longer training"),
    length_in=("iterations", "DVT: IterBasedRunner", "a length that depends on the data set"),
    drop_last=(False, "ours: the configuration does not say", "a few images per epoch"),
    images_per_step=(16, "DVT: 8 processes of 2", "other statistics of BatchNorm"),
    optimiser=("adamw", "DVT: β .9 and .999", "another optimiser"),
    lr=(1e-3, "DVT: optimizer", "another step length"),
    weight_decay=(1e-4, "DVT: optimizer", "another regularisation"),
    momentum=(0.9, "ours: not used by AdamW", "nothing"),
    schedule=("poly", "DVT: lr_config, power 1", "other last steps"),
    warmup=(1500, "DVT: lr_config, from a factor of 1e-6", "a faster or slower start"),
    drops=((), "ours: not used by this schedule", "nothing"),
    seed=(0, "ours: the source draws one", "other weights, order, views"),
)
predict = dict(
    test_view=("own", "DVT: slide", "squashed images"),
    window_stride=(341, "DVT: test_cfg", "more or fewer windows see a pixel"),
    small_images=("whole", "DVT: slide of mmsegmentation", "nothing: no side is below 512 here"),
    padded=(
        "stretched",
        "V2: scores of 518 pixels are resized to 512 as if nothing were padded",
        "cut places every cell where it belongs, up to 3 pixels elsewhere",
    ),
    scales=((1.0,), "DVT: img_ratios", "several scales give more"),
    flip_test=(False, "DVT: flip", "mirror images give more"),
)
score = dict(
    mask_side=(0, "DVT: masks at their own size", "coarse masks are easier"),
    spare_outputs=(0, "DVT: num_classes", "outputs that are no class"),
    absent_as_zero=(False, "DVT: mean over classes with a value", "nothing where all occur"),
    evaluations=(
        1,
        "DVT: evaluates every 10 000 iterations and keeps no best one",
        "the best of several is chosen on the images it is measured on",
    ),
)
fixed = dict(
    loss=("cross-entropy at the label's size, logits bilinear", "DVT: CrossEntropyLoss"),
    clipping=("none", "DVT: grad_clip"),
    precision=("float32", "DVT: fp16"),
    padding=("of crops: the network's mean colour, right and below, unlabelled", "DVT: Pad"),
)
selection = "the last iteration"
seed = "seed"
tolerance = dict(mIoU=0.3)
deviations = (
    "The loss is the mean over all labelled pixels of a batch; that of the source is the mean of 8 "
    "processes' means.",
    "Colours are changed in floating point, the source rounds to 8 bits after each change.",
)
_row = dict(metric="mIoU", source="DVT: README", kind="reproduction")
published = [
    dict(model="vit_small_patch14_dinov2.lvd142m", value="44.05", **_row),
    dict(model="vit_base_patch14_dinov2.lvd142m", value="47.02", **_row),
    dict(model="vit_large_patch14_dinov2.lvd142m", value="47.53", **_row),
    dict(model="vit_small_patch14_reg4_dinov2.lvd142m", value="44.36", **_row),
    dict(model="vit_base_patch14_reg4_dinov2.lvd142m", value="47.73", **_row),
    dict(model="vit_large_patch14_reg4_dinov2.lvd142m", value="48.44", **_row),
    dict(model="deit3_base_patch16_224.fb_in1k", value="32.84", **_row),
    dict(model="vit_base_patch16_clip_384.laion2b_ft_in12k_in1k", value="40.50", **_row),
    dict(model="vit_base_patch16_224.dino", value="31.03", **_row),
    dict(model="vit_base_patch16_224.mae", value="23.84", **_row),
    dict(model="eva02_base_patch16_clip_224.merged2b", value="37.89", **_row),
    dict(model="vit_base_patch16_384.augreg_in21k_ft_in1k", value="36.46", **_row),
]
