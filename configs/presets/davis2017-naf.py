"""Masks of DAVIS-2017 carried through its videos at their own size, as NAF does it. Its boundary
score is another one than the challenge's (0.494 where that gives 0.298), so no number of its paper
stands here.

Launch:   pixelpretext evaluate BACKBONE --preset davis2017-naf --data davis2017:ROOT
Hardware: one GPU, or CPUs and patience
Result:   not reproduced by us, and nothing published can be compared
Knob:     --upsampler carries masks on the maps of an upsampler
"""

_base_ = "davis2017-dino.py"
title = "DAVIS-2017 val at the videos' own size, masks carried as in davis2017-dino"
sources = dict(N="valeoai/NAF, commit ad4e24d of December 2025, Apache-2.0")
normalisation = ("weights", "ours", "colours that the network was not trained with")
features = dict(
    positions=("timm", "ours: its backbones are timm's", "another resampling of the positions"),
)
input = dict(
    short_side=(None, "N: the frames' own size", "a finer or coarser grid"),
    long_multiple=(1, "N: cut down to whole patches alone", "frames that are squeezed more"),
)
deviations = (
    "The boundary is scored as the challenge does; the source takes Sobel edges, two pixels wide.",
    "A video that fails is an error; the source leaves it out.",
    "A soft mask that is the same everywhere is left as it is; the source divides zero by zero.",
)
published = []
