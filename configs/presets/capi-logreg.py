"""Segmentation of ADE20K by logistic regression on patches, as the code of CAPI runs it.

Launch:   pixelpretext evaluate BACKBONE --preset capi-logreg --data ade20k:ROOT
Hardware: one GPU; 12 GB of train patches of a ViT-B/16, half with --set capi-logreg.dtype=float16
Result:   not reproduced by us, and no published number that we could read
Knob:     --set "capi-logreg.inverse_penalties=(0.1,)" leaves nothing to choose
"""

_base_ = "capi-knn.py"
title = "ADE20K by logistic regression on patches"
benchmark = "patch_logistic"
train = dict(
    inverse_penalties=(
        tuple(10.0 ** (-6 + 11 * step / 7) for step in range(8)),
        "C: 10 to the power of 8 values from -6 to 5, of which one is chosen",
        "another strength may be best",
    ),
    iterations=(1000, "C: at most", "large C ends before its minimum"),
    tolerance=(1e-12, "C: of its L-BFGS", "it ends earlier"),
    memory=(5, "C: of its L-BFGS", "another path to the same minimum"),
    line_search=(50, "C: steps of one search at most", "another path to the same minimum"),
    dtype=("float32", "ours: C's is not confirmed", "float16 halves the memory"),
)
predict = dict(_delete_=True)
fixed = dict(
    _delete_=True,
    target=("a patch's most frequent label, the smallest of equals", "C: its loader"),
    dropped=("train patches whose most frequent label is none of the classes", "C: its loader"),
    prediction=("one class for all pixels of a patch", "C: its prediction"),
    score=(
        "at the input's size, mean IoU of the labels in truth or prediction",
        "C: macro Jaccard",
    ),
)
selection = "C by mIoU on the held-back 10 % of the train images, then all of them"
deviations = (
    "L-BFGS is SciPy's: its line search and its test of convergence may end elsewhere.",
    "Which images are held back: the source's draw is not known.",
)
published = []
