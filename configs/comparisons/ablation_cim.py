"""What CIM's parts do, one at a time: turned exemplars, exemplars of many sizes, how context and
exemplar are correlated, which side is trained. Generated scenes, three seeds.

Launch:   python tools/compare.py configs/comparisons/ablation_cim.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     budget
"""

_base_ = "scenes.py"
title = "CIM: one part at a time"
budget = dict(samples=8_000)
overrides = {"schedule.warmup_samples": 800}
_cim = "model.objectives.0."


def _exemplars(key, value):
    """The override of all six exemplars."""
    return {f"views.groups.exemplar.{place}.{key}": value for place in range(6)}


arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    CIM=dict(
        config="configs/quick/cim_scenes64.py",
        vary={
            "rotation": {"45": {}, "0": _exemplars("rotation", 0)},
            # One size: the mean of the many.
            "scale": {"many": {}, "one": _exemplars("scale", (0.265, 0.265))},
            _cim + "correlation": ("cross_attention", "convolution"),
            _cim + "update": ("exemplar", "context", "both"),
        },
    ),
)
benchmarks = dict(retrieval=dict(memory_size=51_200))
