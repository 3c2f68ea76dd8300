"""Depth on NYUv2 by a linear head over 256 bins, as DINOv3's model card has it.

Launch:   pixelpretext evaluate BACKBONE --preset dinov3-nyu --data nyu:ROOT
Hardware: one GPU; 38,400 steps of 16 crops through the frozen network, hours for the large ones
Result:   not reproduced by us; the rows below are the authors'
Knob:     steps and warmup_steps, three to one; a shorter schedule renames the preset
"""

version = 1
title = "NYUv2 depth by BatchNorm and a linear head, last layer, 38,400 steps"
benchmark = "depth_bins"
sources = dict(
    V3="facebookresearch/dinov3, commit 6876159 of July 2026, own licence, numbers only",
    TB="Monocular-Depth-Estimation-Toolbox, commit d8aff50 of July 2025, Apache-2.0",
    ours="a choice of this project",
)
data = dict(
    layout=("nyu", "V3: the lists nyu_train.txt and nyu_test.txt", "another data set"),
    train=("train", "V3: split of the lists", "a head of other images"),
    val=("val", "V3: split of the lists", "other images are scored"),
)
counts = dict(
    train_images=(24_231, "V3: lines of nyu_train.txt"),
    val_images=(654, "V3: lines of nyu_test.txt"),
)
normalisation = ("weights", "V3: that of the weights", "colours that the weights never saw")
features = dict(
    layers=((-1,), "V3: depth-nyu config, the last layer", "features of another layer"),
    norm=(True, "V3: depth-nyu config", "features whose scale differs from image to image"),
    class_token=("none", "V3: depth-nyu config", "every cell also sees the whole image"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=("timm", "V3: RoPE follows the size by itself", "refused by these networks"),
    pad=("centre", "V3: padded to the patch", "480 × 640 is refused for patches of 14"),
    stride=(16, "V3: a ConvNeXt's map is brought to H / 16", "its own 32: a coarser grid"),
)
input = dict(
    size=((480, 640), "V3: whole frames", "frames of another size"),
    sizing=("refuse", "ours: all frames of the set have this size", "frames that were resized"),
    train_frame=(
        (45, 43, 472, 608),
        "TB: NYU crop, left, top, right, bottom 43, 45, 608, 472",
        "() shows the white border of the frames",
    ),
    crop_size=((416, 544), "V3: depth-nyu config", "another share of the room per view"),
    rotate=(2.5, "V3: depth-nyu config", "0 turns nothing"),
    rotate_share=(0.5, "V3: depth-nyu config", "more or fewer turned views"),
    flip=(0.5, "V3: depth-nyu config", "0 mirrors nothing"),
    colour=(0.5, "V3: depth-nyu config", "0 changes no colours"),
    gamma=((0.9, 1.1), "V3: depth-nyu config", "stronger or weaker changes of contrast"),
    brightness=((0.75, 1.25), "V3: depth-nyu config", "stronger or weaker changes of brightness"),
    tint=((0.9, 1.1), "V3: depth-nyu config", "stronger or weaker changes of single channels"),
)
head = dict(
    batch_norm=(True, "V3: linear head", "a head on features of unequal scale"),
    enlarge=(1, "V3: linear head", "a map of more cells than the network's"),
    padded=("stretched", "V3: the map is resized as if unpadded", "cut places cells rightly"),
    bins=(256, "V3: linear head", "a coarser or finer set of depths"),
    min_depth=(0.001, "V3: depth-nyu config", "nearer pixels would count"),
    max_depth=(10.0, "V3: depth-nyu config", "farther pixels would count, bins lie wider apart"),
)
train = dict(
    sig_weight=(1.0, "V3: depth-nyu config", "one loss alone: only the clipping feels it"),
    gradient_weight=(0.0, "V3: depth-nyu config", "adds a loss of neighbouring differences"),
    gradient_between=("pixels", "ours: not used at weight 0", "nothing at weight 0"),
    steps=(38_400, "V3: depth-nyu config", "shorter or longer training"),
    warmup_steps=(12_800, "V3: depth-nyu config", "where the learning rate peaks"),
    images_per_step=(16, "V3: 8 processes of 2 images", "noisier or smoother gradients"),
    images_per_loss=(2, "V3: 2 images per process", "the loss is no mean over images"),
    lr=(3e-4, "V3: depth-nyu config", "faster or slower learning"),
    weight_decay=(1e-4, "V3: depth-nyu config", "larger or smaller weights"),
    beta1=(0.9, "V3: config, which the schedule overrides", "nothing with one-cycle"),
    beta2=(0.99, "V3: depth-nyu config", "a longer or shorter memory of squared gradients"),
    clip=(35.0, "V3: depth-nyu config", "the largest norm of a gradient"),
    schedule=("one-cycle", "V3: depth-nyu config", "another course of learning rate and β₁"),
    warmup_from=(1e-3, "V3: lr / 1000, which one-cycle has built in", "nothing with one-cycle"),
    floor=(4e-5, "V3: lr / 25,000, which one-cycle has built in", "nothing with one-cycle"),
    seed=(321, "V3: depth-nyu config", "other initial weights, crops and colours"),
)
predict = dict(
    flip_test=(True, "V3: mean with the mirrored image", "a slightly larger error"),
    select=("last", "V3: the last iteration", "best would choose on the test images"),
    look_every=(38_400, "ours: not used with select=last", "nothing with select=last"),
)
score = dict(
    scored=((45, 41, 471, 601), "V3: Eigen crop", "() scores the borders, too"),
)
fixed = dict(
    decoding=("depth = Σ w·b / Σ w, w = relu(z) + 0.1", "V3: linear head"),
    loss=("√(Var g + .15 mean² g), the mean part alone in the first 100 steps", "V3: loss"),
    averaging=("scores of each image, then the mean over images", "V3: depth metrics"),
    clamping=("predictions to [min_depth, max_depth]", "V3: depth metrics"),
    initial=("weights of N(0, .01), biases 0", "ours: as in its segmentation head"),
)
selection = "the last iteration"
seed = "seed"
tolerance = dict(RMSE=0.005)
deviations = (
    "One process: the loss is that of 8 groups of 2 images, averaged, and BatchNorm sees all 16.",
    "Between .85 and .95 β₁ follows the learning rate's cosine; the source's curve was not at "
    "hand.",
    "Gamma acts on values in [0, 1]; on which values it acts in the source is not known.",
)
_row = dict(metric="RMSE", source="V3: MODEL_CARD", kind="authors")
published = [
    dict(model="vit_small_patch16_dinov3.lvd1689m", value=".403", **_row),
    dict(model="vit_small_plus_patch16_dinov3.lvd1689m", value=".399", **_row),
    dict(model="vit_base_patch16_dinov3.lvd1689m", value=".373", **_row),
    dict(model="vit_large_patch16_dinov3.lvd1689m", value=".352", **_row),
    dict(model="vit_huge_plus_patch16_dinov3.lvd1689m", value=".352", **_row),
    dict(model="vit_7b_patch16_dinov3.lvd1689m", value=".309", **_row),
    dict(model="convnext_tiny.dinov3_lvd1689m", value=".448", **_row),
    dict(model="convnext_small.dinov3_lvd1689m", value=".432", **_row),
    dict(model="convnext_base.dinov3_lvd1689m", value=".420", **_row),
    dict(model="convnext_large.dinov3_lvd1689m", value=".403", **_row),
]
