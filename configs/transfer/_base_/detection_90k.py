"""90,000 iterations of 16 images with SGD, as detectron2's 1x: learning rate / 10 at 60,000 and
80,000.
"""

custom_imports = dict(imports=["benchmarks.mm.modules"])

train_cfg = dict(type="IterBasedTrainLoop", max_iters=90_000)
val_cfg = None  # evaluated once, with the last weights
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.0
    ),  # detectron2's default: no weight decay on scales and shifts of norms
)
# Warm-up as detectron2's default.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type="MultiStepLR",
        by_epoch=False,
        begin=0,
        end=90_000,
        milestones=[60_000, 80_000],
        gamma=0.1,
    ),
]
custom_hooks = [dict(type="PreciseBN", batches=200)]
