"""The linear probe that upsamplers are compared by, with AnyUp's schedule, on COCO-Stuff in 27
classes: a step per epoch, from the peak to nearly 0. Nothing comparable is published in the sources
that we could read, so that this is the protocol without a number.

Launch:   pixelpretext evaluate BACKBONE --preset anyup-probe-coco --data coco-stuff-27:ROOT
Hardware: one GPU
Result:   not reproduced by us
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-coco.py"
title = "COCO-Stuff in 27 classes by the probe of upsamplers, AnyUp's schedule"
sources = dict(
    ANY="wimmerth/anyup, commit 351807a of April 2026; its evaluation code is not released"
)
train = dict(
    schedule=("cosine-epochs", "ANY: README, ½(1 + cos(πe/20)) in epoch e", "other last steps"),
)
published = []
