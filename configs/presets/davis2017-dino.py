"""Masks of DAVIS-2017 carried through its videos by frozen features, as DINO does it.

Launch:   pixelpretext evaluate BACKBONE --preset davis2017-dino --data davis2017:ROOT
Hardware: one GPU, or CPUs and patience; a frame at stride 8 compares 6,240 cells with 5,000 each
Result:   not reproduced by us; the rows below are the authors', quoted from memory
Knob:     --set davis2017-dino.last_frames=1 looks at the first and the previous frame alone
"""

version = 1
title = "DAVIS-2017 val, masks carried by the nearest cells of the first and the last 7 frames"
benchmark = "video"
sources = dict(
    D="facebookresearch/dino, commit 7c446df of April 2023, Apache-2.0",
    V="davisvideochallenge/davis2017-evaluation, commit ac7c43f of February 2023, BSD-3",
    ours="a choice of this project",
)
data = dict(
    layout=("davis2017", "D: eval_video_segmentation.py", "another data set"),
    split=("val", "D: eval_video_segmentation.py", "other videos"),
)
counts = dict(videos=(30, "V: the list of 2017's val part"))
normalisation = (
    dict(mean=(0.485, 0.456, 0.406), std=(0.228, 0.224, 0.225)),
    "D: eval_video_segmentation.py, whose std of red is not the .229 of the training",
    "reds that differ by half a percent",
)
features = dict(
    layers=((-1,), "D: the last block", "features of another layer"),
    norm=(True, "D: the last block's output passes the final norm", "features without the norm"),
    class_token=("none", "D: patches only", "cells would also be matched by their frames"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=(
        "factor",
        "D: vision_transformer.py",
        "another resampling of the positions: up to .07 of a unit sine from 37 to 32 cells",
    ),
    pad=("refuse", "ours: sizes are whole patches", "cells that are padding"),
    stride=(None, "D: the network's own", "another number of cells per frame"),
)
input = dict(
    short_side=(480, "D: eval_video_segmentation.py", "a finer or coarser grid"),
    long_multiple=(
        64,
        "D: eval_video_segmentation.py: 854 becomes 832",
        "frames that are squeezed more or less",
    ),
)
predict = dict(
    last_frames=(7, "D: eval_video_segmentation.py", "older or fewer frames give their labels"),
    copies=(False, "D: eval_video_segmentation.py", "the first frame counts more in the first 7"),
    radius=(12, "D: eval_video_segmentation.py", "objects that move faster, or more mistakes"),
    shape=("square", "D: eval_video_segmentation.py", "without the corners of the neighbourhood"),
    first_everywhere=(
        False,
        "D: eval_video_segmentation.py",
        "objects far from where they began are found in the first frame again",
    ),
    neighbours=(5, "D: eval_video_segmentation.py", "labels of fewer or more cells are averaged"),
    ties=(True, "D: eval_video_segmentation.py", "differs where cells are equally similar"),
    temperature=(0.1, "D: eval_video_segmentation.py", "flatter or sharper weights"),
    stretch=(
        True,
        "D: eval_video_segmentation.py",
        "small objects, whose soft masks are faint, lose to the background",
    ),
)
fixed = dict(
    resize=("bilinear without antialiasing, by OpenCV", "D: eval_video_segmentation.py"),
    first_mask=("the label under the centre of each cell", "D: nearest"),
    pixels=(
        "soft labels bilinear to the input's size, the largest, nearest to the frame's size",
        "D: eval_video_segmentation.py",
    ),
    scored=("all frames but the first and the last one; void is background", "V: the code"),
    mean=("over all objects of all videos together", "V: the code"),
)
selection = "nothing is trained, so nothing is chosen"
tolerance = dict(J_and_F=0.5)
deviations = (
    "A soft mask that is the same everywhere is left as it is; the source divides zero by zero.",
    "Sides that are no multiples of the patch are cut to whole patches.",
    "The source's README names torch 1.7.1 for its numbers.",
)
_row = dict(
    metric="J_and_F",
    source="D: the paper's table, quoted from memory",
    kind="authors",
    comparable="the number was not seen in a source that we could read",
)
published = [
    dict(model="vit_small_patch16_224.dino", value="61.8", **_row),
    dict(model="vit_base_patch16_224.dino", value="62.3", **_row),
    dict(model="vit_small_patch8_224.dino", value="69.9", **_row),
    dict(model="vit_base_patch8_224.dino", value="71.4", **_row),
]
