"""SPair-71k as GeoAware-SC evaluates features without training: all test pairs, 840 letterboxed, a
soft answer in a window, cosines beyond which become 0.

Launch:   pixelpretext evaluate BACKBONE --preset spair-geoaware --data spair:ROOT
Hardware: one GPU; on CPUs hours for 12,234 pairs of a ViT-B
Result:   not reproduced by us; the row below is the authors', of a trained head
Knob:     score.average=point, the source's other report
"""

_base_ = "spair-insid3.py"
title = "SPair-71k, all test pairs, 840 letterboxed, a soft answer in a window, per pair"
sources = dict(GEO="Junyi42/GeoAware-SC, commit 99fd6b6 of March 2025, no licence: facts only")
data = dict(
    part=("test", "GEO: test pairs", "other pairs"),
    per_category=(0, "GEO: TEST_SAMPLE 0", "its program draws 20 of each class by default"),
    viewpoint=(None, "GEO: all pairs", "pairs of one difference of viewpoint"),
)
normalisation = ("weights", "ours: ImageNet's for DINOv2", "colours of other weights")
features = dict(
    layers=((11,), "GEO: layer 11 of DINOv2 B/14, its last", "features of another layer"),
    norm=(False, "ours: tokens behind the block; not confirmed", "features with the final norm"),
    class_token=("none", "GEO: patches only", "cells would also be matched by their images"),
    positions=("factor", "ours: DINOv2's own rule without registers", "other positions"),
    pad=("refuse", "ours: 840 is whole patches of 14", "cells that are padding"),
    stride=(None, "GEO: stride 14, 60 × 60 cells", "another number of cells"),
)
input = dict(
    size=((840, 840), "GEO", "a finer or coarser grid"),
    fit=("letterbox", "GEO: aspect kept, in the middle", "squash changes it"),
    fill=(0, "GEO: black", "other borders"),
    resample=("lanczos", "GEO", "other pixels"),
)
predict = dict(
    source=("cell", "GEO: ⌊x·60/840⌋", "rounded is half a cell off"),
    answer=("soft", "GEO: SOFT_EVAL", "nearest: 14j + 7 in whole cells"),
    place=("centre", "GEO: 14j + 7", "corner is half a cell off"),
    temperature=(0.02, "GEO", "at .1 what lies beyond the window counts"),
    window=(5, "GEO: SOFT_EVAL_WINDOW", "0 takes the whole map"),
    outside=("zero", "GEO: cells beyond become 0", "excluded: 1e-6 of a cell at .02, 3e-3 at .1"),
    gauss=(0.0, "GEO", "far cells weigh less"),
    flip=(False, "ours: its search over mirrored sources needs masks", "features of two views"),
)
score = dict(
    relative_to=("box", "GEO", "image: from .639 to .806 for one set of errors"),
    frame=("input", "GEO: the box scaled to 840", "the same, up to rounding, with one scale"),
    strict=(True, "GEO: <", "from .639 to .722 for one set of errors"),
    average=("image", "GEO: per image; point is its option", "from .639 to .556 for one set"),
    alphas=((0.1, 0.05, 0.01), "GEO", "other columns"),
)
tolerance = dict(_delete_=True, **{"PCK@0.1": 0.5, "PCK@0.05": 0.5, "PCK@0.01": 0.5})
deviations = (
    "The source aligns poses by the mirrored source image of least distance, under a mask of the "
    "object; here no image is mirrored.",
    "Whether the source's tokens pass the final norm is not confirmed; here they do not.",
)
published = [
    dict(
        model="Stable Diffusion 1.5 + DINOv2 B/14, trained head",
        metric="PCK@0.1",
        value="85.6",
        source="GEO: README",
        kind="authors",
        comparable="its head was trained on SPair-71k, on features of two networks",
    ),
]
