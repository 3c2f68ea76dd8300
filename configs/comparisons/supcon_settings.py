"""How much SupCon and cross-entropy depend on their settings, and how they hold up on corrupted
photos: both as in supcon.py, with half and double the learning rate, and without colour jitter;
SupCon with the sum over positives inside the logarithm, too.

Photos as in configs/comparisons/real.py.

Launch:   python tools/compare.py configs/comparisons/supcon_settings.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     budget
"""

_base_ = "supcon.py"
title = "SupCon and cross-entropy: settings and corruptions, Caltech-101"
budget = dict(samples=12_000)
_contrastive = dict(config="configs/quick/supcon_scenes64.py")
_cross_entropy = dict(config="configs/quick/supervised_scenes64.py")
_classes = {"model.objectives.0.num_classes": 101}
_half, _double = {"schedule.lr": 1e-3}, {"schedule.lr": 4e-3}
_no_jitter = {f"views.groups.global.{view}.jitter.p": 0.0 for view in (0, 1)}
arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    SupCon=_contrastive,
    SupCon_lr_half=dict(**_contrastive, overrides=_half),
    SupCon_lr_double=dict(**_contrastive, overrides=_double),
    SupCon_no_jitter=dict(**_contrastive, overrides=_no_jitter),
    SupCon_inside=dict(**_contrastive, overrides={"model.objectives.0.form": "in"}),
    CrossEntropy=dict(**_cross_entropy, overrides=_classes),
    CrossEntropy_lr_half=dict(**_cross_entropy, overrides=_classes | _half),
    CrossEntropy_lr_double=dict(**_cross_entropy, overrides=_classes | _double),
    CrossEntropy_no_jitter=dict(**_cross_entropy, overrides=_classes | _no_jitter),
)
benchmarks = dict(
    robustness=dict(
        type="robustness",
        data=dict(type="ClassFolder", root="data/real/caltech101"),
        size=112,
        weight_decays=(1e-2,),
        corruptions=("gaussian_noise", "defocus_blur", "fog", "contrast"),
        severities=(1, 3, 5),
    )
)
baselines = dict(
    majority=dict(benchmark=("linear", "knn")),
    pixels=dict(benchmark=("linear", "knn", "robustness")),
)
columns = ("linear.top1", "knn.top1", "robustness.mean_corruption_error")
