"""Depth on NYUv2 by a linear head over 256 bins, as Denoising ViT measured many networks of timm.

Launch:   pixelpretext evaluate BACKBONE --preset dvt-nyu --data nyu:ROOT
Hardware: one GPU; 38,400 steps of 16 crops, and 48 looks at the 654 test images
Result:   not reproduced by us; the rows below are published by others
Knob:     select=last chooses no weights on the test images, and renames the preset
"""

_base_ = "dinov3-nyu.py"
title = "NYUv2 depth by a linear head, last layer with class token, best of 48 looks"
sources = dict(
    V3="facebookresearch/dinov3, commit 6876159 of July 2026, own licence, numbers only",
    DVT="Jiawei-Yang/Denoising-ViT, commit 82704df of November 2024, MIT",
    V2="facebookresearch/dinov2, commit b8931f7 of August 2025, Apache-2.0",
)
data = dict(
    layout=("nyu", "DVT: the lists nyu_train.txt and nyu_test.txt", "another data set"),
    train=("train", "DVT: split of the lists", "a head of other images"),
    val=("val", "DVT: split of the lists", "other images are scored"),
)
counts = dict(
    train_images=(24_231, "DVT: lines of nyu_train.txt"),
    val_images=(654, "DVT: lines of nyu_test.txt"),
)
normalisation = (
    dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "DVT: NYU config, ImageNet's for all networks, also for those that were trained with others",
    "the networks' own colours: other numbers for CLIP and AugReg",
)
features = dict(
    layers=((-1,), "DVT: the last layer", "features of another layer"),
    norm=(True, "DVT: normed", "features whose scale differs from image to image"),
    class_token=("concatenate", "DVT: class token in every cell", "no view of the whole image"),
    positions=("timm", "DVT: networks are timm's", "up to .07 of a unit sine at other sizes"),
    pad=("centre", "DVT: padded to the patch", "480 × 640 is refused for patches of 14"),
    stride=(None, "DVT: the network's own", "a coarser or finer grid"),
)
input = dict(
    size=((480, 640), "DVT: whole frames", "frames of another size"),
    crop_size=((416, 544), "DVT: NYU config", "another share of the room per view"),
    rotate=(2.5, "DVT: NYU config", "0 turns nothing"),
    rotate_share=(0.5, "DVT: NYU config", "more or fewer turned views"),
    flip=(0.5, "DVT: NYU config", "0 mirrors nothing"),
    colour=(0.5, "DVT: NYU config", "0 changes no colours"),
    gamma=((0.9, 1.1), "DVT: NYU config", "stronger or weaker changes of contrast"),
    brightness=((0.75, 1.25), "DVT: NYU config", "stronger or weaker changes of brightness"),
    tint=((0.9, 1.1), "DVT: NYU config", "stronger or weaker changes of single channels"),
)
head = dict(
    batch_norm=(False, "DVT: linear head", "True shifts and scales the features first"),
    enlarge=(4, "DVT: features × 4 bilinearly", "depth of larger or smaller cells"),
    padded=("stretched", "DVT: the map is resized as if unpadded", "cut places cells rightly"),
    bins=(256, "DVT: linear head", "a coarser or finer set of depths"),
    min_depth=(0.001, "DVT: NYU config", "nearer pixels would count"),
    max_depth=(10.0, "DVT: NYU config", "farther pixels would count, bins lie wider apart"),
)
train = dict(
    sig_weight=(1.0, "DVT: NYU config", "the balance of the two losses"),
    gradient_weight=(0.5, "DVT: NYU config", "nothing at two images per loss"),
    gradient_between=(
        "images",
        "V2: its code takes differences along the batch, 0 for two images",
        "pixels adds a loss that the published training did not have",
    ),
    steps=(38_400, "DVT: NYU config", "shorter or longer training"),
    warmup_steps=(12_800, "DVT: NYU config", "a longer or shorter rise"),
    images_per_step=(16, "DVT: 8 processes of 2 images", "noisier or smoother gradients"),
    images_per_loss=(2, "DVT: 2 images per process", "the loss is no mean over images"),
    lr=(5e-3, "DVT: NYU config", "faster or slower learning"),
    weight_decay=(0.01, "DVT: NYU config", "larger or smaller weights"),
    beta1=(0.9, "DVT: NYU config", "a longer or shorter memory of gradients"),
    beta2=(0.999, "DVT: NYU config", "a longer or shorter memory of squared gradients"),
    clip=(35.0, "DVT: NYU config", "the largest norm of a gradient"),
    schedule=("cosine", "DVT: NYU config", "another course of the learning rate"),
    warmup_from=(1e-3, "DVT: NYU config", "the first steps are larger or smaller"),
    floor=(1e-8, "DVT: NYU config", "the last steps are larger or smaller"),
    seed=(0, "ours: none is stated", "other initial weights, crops and colours"),
)
predict = dict(
    flip_test=(True, "DVT: mean with the mirrored image", "a slightly larger error"),
    select=("best", "DVT: smallest AbsRel on the test images", "last chooses nothing on them"),
    look_every=(800, "DVT: NYU config", "fewer or more weights to choose from"),
)
score = dict(
    scored=((45, 41, 471, 601), "DVT: Eigen crop", "() scores the borders, too"),
)
fixed = dict(
    decoding=("depth = Σ w·b / Σ w, w = relu(z) + 0.1", "V2: linear head"),
    loss=("√(Var g + .15 mean² g), the mean part alone in the first 100 steps", "V2: loss"),
    averaging=("scores of each image, then the mean over images", "V2: depth metrics"),
    clamping=("predictions to [min_depth, max_depth]", "V2: depth metrics"),
    initial=("weights of N(0, .01), biases 0", "ours: not stated"),
)
selection = "the look with the smallest AbsRel on the test images, one every 800 steps"
tolerance = dict(RMSE=0.005, AbsRel=0.005, delta1=0.5)
deviations = (
    "One process: the loss is that of 8 groups of 2 images, averaged.",
    "The head is applied before the features are enlarged, which gives the same outputs.",
    "Gamma acts on values in [0, 1]; on which values it acts in the source is not known.",
    "Denoising ViT's configuration also names a one-cycle policy for β₁, whose bounds it leaves to "
    "the library; here β₁ stays at .9.",
)
_row = dict(source="DVT: README", kind="reproduction")
_s, _s4 = "vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.lvd142m"
_b, _b4 = "vit_base_patch14_dinov2.lvd142m", "vit_base_patch14_reg4_dinov2.lvd142m"
_l, _l4 = "vit_large_patch14_dinov2.lvd142m", "vit_large_patch14_reg4_dinov2.lvd142m"
_clip = "vit_base_patch16_clip_384.laion2b_ft_in12k_in1k"
_augreg = "vit_base_patch16_384.augreg_in21k_ft_in1k"
published = [
    dict(model=_s, metric="RMSE", value=".4340", **_row),
    dict(model=_s, metric="AbsRel", value=".1331", **_row),
    dict(model=_s, metric="delta1", value="84.49", **_row),
    dict(model=_s4, metric="RMSE", value=".4328", **_row),
    dict(model=_s4, metric="AbsRel", value=".1303", **_row),
    dict(model=_s4, metric="delta1", value="85.00", **_row),
    dict(model=_b, metric="RMSE", value=".3965", **_row),
    dict(model=_b, metric="AbsRel", value=".1197", **_row),
    dict(model=_b, metric="delta1", value="87.59", **_row),
    dict(model=_b4, metric="RMSE", value=".3967", **_row),
    dict(model=_b4, metric="AbsRel", value=".1177", **_row),
    dict(model=_b4, metric="delta1", value="87.92", **_row),
    dict(model=_l, metric="RMSE", value=".3831", **_row),
    dict(model=_l, metric="AbsRel", value=".1145", **_row),
    dict(model=_l, metric="delta1", value="88.89", **_row),
    dict(model=_l4, metric="RMSE", value=".3852", **_row),
    dict(model=_l4, metric="AbsRel", value=".1139", **_row),
    dict(model=_l4, metric="delta1", value="88.53", **_row),
    dict(model="vit_base_patch16_224.dino", metric="RMSE", value=".5742", **_row),
    dict(model="vit_base_patch16_224.mae", metric="RMSE", value=".6629", **_row),
    dict(model="deit3_base_patch16_224.fb_in1k", metric="RMSE", value=".5837", **_row),
    dict(model=_clip, metric="RMSE", value=".5585", **_row),
    dict(model=_augreg, metric="RMSE", value=".6360", **_row),
]
