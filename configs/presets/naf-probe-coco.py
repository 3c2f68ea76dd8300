"""The linear probe that upsamplers are compared by, with NAF's schedule, on COCO-Stuff in 27
classes: a step per iteration, from the peak to nearly 0. Nothing comparable is published in the
sources that we could read, so that this is the protocol without a number.

Launch:   pixelpretext evaluate BACKBONE --preset naf-probe-coco --data coco-stuff-27:ROOT
Hardware: one GPU
Result:   not reproduced by us
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-coco.py"
title = "COCO-Stuff in 27 classes by the probe of upsamplers, NAF's schedule"
sources = dict(NAF="valeoai/NAF, commit ad4e24d of December 2025, Apache-2.0")
train = dict(
    schedule=("cosine", "NAF: ½(1 + cos(πg/T)) at iteration g of T", "other last steps"),
)
published = []
