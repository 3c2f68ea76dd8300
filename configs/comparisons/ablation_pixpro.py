"""What PixPro's own settings do, one at a time: distance of positive cells, propagation at all,
its sharpness and layers, momentum of the target, the instance branch. Generated scenes, three
seeds.

Launch:   python tools/compare.py configs/comparisons/ablation_pixpro.py
Hardware: 2 CPU cores
Result:   a line per setting and its means below the table; our own recipe
Knob:     budget
"""

_base_ = "scenes.py"
title = "PixPro: one setting at a time"
budget = dict(samples=8_000)
overrides = {"schedule.warmup_samples": 800}
_pixpro = "model.objectives.0."
arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    PixPro=dict(
        vary={
            "propagation": {"with": {}, "without": {_pixpro + "propagate": False}},
            _pixpro + "pos_radius_diag": (0.35, 0.7, 1.4),
            _pixpro + "gamma": (1.0, 2.0, 4.0),
            _pixpro + "layers": (0, 1, 2),
            "momentum": {
                "0.95": {"model.momentum.start": 0.95},
                "0.99": {},
                "0.996": {"model.momentum.start": 0.996},
            },
            # The paper's "PixPro*": both objectives learn from one pass.
            "instance_branch": dict(
                without={},
                pooled={
                    "model.objectives": [
                        dict(type="PixPro", hidden=256, dim=128),
                        dict(type="BYOL", pool="after", hidden=256, dim=128, weight=1.0),
                    ]
                },
            ),
        }
    ),
)
benchmarks = dict(retrieval=dict(memory_size=51_200))
next_step = "then see docs/comparing.md for sweeps of your own"
