"""SPair-71k as INSID3 measures DINOv3: all test pairs, 768 × 768, a soft answer under a Gauss.

Launch:   pixelpretext evaluate BACKBONE --preset spair-insid3 --data spair:ROOT
Hardware: one GPU; on CPUs hours for 12,234 pairs of a ViT-B
Result:   not reproduced by us; the rows below are published by others
Knob:     predict.gauss, the width of the Gauss
"""

version = 1
title = "SPair-71k, all test pairs, a soft answer under a Gauss, per pair"
benchmark = "correspondence"
sources = dict(
    INS="INSID3, commit f1c9622 of April 2026, Apache-2.0",
    SPair="SPair-71k's own lists; counts as in its layout",
    HPF="juhongm999/hpf by SPair's authors, commit 5a72968 of November 2023, Apache-2.0",
    ours="a choice of this project",
)
data = dict(
    layout=("spair", "SPair: Layout/large", "another data set"),
    part=("test", "INS: test pairs", "other pairs"),
    per_category=(0, "INS: all pairs", "20 of each class are the default of a published program"),
    viewpoint=(None, "INS: all pairs", "pairs of one difference of viewpoint"),
)
counts = dict(pairs=(12_234, "SPair: lines of Layout/large/test.txt"))
normalisation = ("weights", "INS: ImageNet's, which its networks have", "colours of other weights")
features = dict(
    layers=((-1,), "INS: the last block", "features of another layer"),
    norm=(True, "INS: as DINOv3's own code returns it", "features without the norm"),
    class_token=("none", "INS: patches only", "cells would also be matched by their images"),
    vector=("timm", "ours: not read by this benchmark", "nothing"),
    positions=("timm", "ours: DINOv3 has no table of positions", "another resampling of positions"),
    pad=("refuse", "ours: 768 is whole patches of 16", "cells that are padding"),
    stride=(None, "INS: the network's own", "another number of cells"),
)
input = dict(
    size=((768, 768), "INS", "a finer or coarser grid"),
    fit=("squash", "INS: aspect not kept", "letterbox keeps the aspect and loses cells"),
    fill=(0, "ours: nothing is filled", "nothing"),
    resample=("bilinear", "INS: torchvision on Pillow's images", "other pixels"),
)
predict = dict(
    source=("rounded", "INS: cell round(x·w/W), no half cell taken off", "cell holds the point"),
    answer=("soft", "INS: soft-argmax of the cosine", "nearest answers in whole cells"),
    place=("corner", "INS: index·W/w, no half cell added", "centre is half a cell further"),
    temperature=(0.04, "INS", "one map of scores: row 2.06 at .02, 2.41 at .1"),
    window=(0, "INS: the whole map", "far cells have no weight"),
    outside=("excluded", "ours: no window", "nothing without a window"),
    gauss=(7.0, "INS: σ in cells", "2 instead of 7: column 4.96 instead of 4.71 of one map"),
    flip=(False, "INS", "features of two views"),
    upsampled_stride=(2, "ours: no upsampler in the source", "nothing on the network's own grid"),
)
score = dict(
    relative_to=("box", "INS", "image: from .722 to .917 for one set of errors"),
    frame=("image", "INS: pixels of the target image", "the squashed axes count unequally"),
    strict=(False, "INS: ≤", "from .722 to .639 for one set of errors"),
    average=("image", "INS: per pair, over all pairs", "from .722 to .667 for one set of errors"),
    alphas=((0.1, 0.05, 0.15, 0.2), "INS", "other columns"),
)
selection = "nothing is trained, so nothing is chosen"
tolerance = {"PCK@0.1": 0.5, "PCK@0.05": 0.5, "PCK@0.15": 0.5, "PCK@0.2": 0.5}
deviations = ()
_row = dict(model="vit_base_patch16_dinov3.lvd1689m", kind="reproduction")
_debiased = dict(
    source="INS: debiased, K = 20",
    comparable="20 directions of position are removed from its features, here none is",
    **_row,
)
published = [
    dict(metric="PCK@0.05", value="30.1", source="INS", **_row),
    dict(metric="PCK@0.1", value="46.8", source="INS", **_row),
    dict(metric="PCK@0.15", value="55.6", source="INS", **_row),
    dict(metric="PCK@0.2", value="61.2", source="INS", **_row),
    dict(metric="PCK@0.05", value="33.7", **_debiased),
    dict(metric="PCK@0.1", value="52.6", **_debiased),
    dict(metric="PCK@0.15", value="62.5", **_debiased),
    dict(metric="PCK@0.2", value="68.7", **_debiased),
]
