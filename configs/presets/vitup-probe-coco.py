"""The linear probe that upsamplers are compared by, with ViT-Up's schedule, on COCO-Stuff in 27
classes: batches of 4 at four times the rate, from the peak to nearly 0. Nothing comparable is
published in the sources that we could read, so that this is the protocol without a number.

Launch:   pixelpretext evaluate BACKBONE --preset vitup-probe-coco --data coco-stuff-27:ROOT
Hardware: one GPU
Result:   not reproduced by us
Knob:     --upsampler SPEC, once for each; bilinear is always beside
"""

_base_ = "jafar-probe-coco.py"
title = "COCO-Stuff in 27 classes by the probe of upsamplers, ViT-Up's schedule"
sources = dict(VUP="vit-up, commit 9a74487 of June 2026, no licence: facts and numbers only")
train = dict(
    length=(5, "VUP: epochs on COCO", "a shorter or longer training"),
    schedule=("cosine", "VUP: ½(1 + cos(πg/T)) at iteration g of T", "other last steps"),
    images_per_step=(4, "VUP: batch", "half as many iterations as with 2"),
    lr=(2e-3, "VUP: configuration", "another step length"),
    seed=(42, "VUP: configuration", "other weights, order and coins"),
)
published = []
