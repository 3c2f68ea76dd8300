"""CLAE against its baseline at equal computing effort: as configs/comparisons/clae.py, but by
floating-point operations, so that SimCLR trains on more samples. The budget pays for CLAE's 10,000
samples.

Launch:   python tools/compare.py configs/comparisons/clae_compute.py
Hardware: 2 CPU cores
Result:   docs/results/clae_compute.md; our own recipe
Knob:     budget
"""

_base_ = "clae.py"
title = "CLAE against SimCLR at equal computing effort: Caltech-101"
budget = dict(_delete_=True, flops=9.35e12)
arms = dict(
    _delete_=True,
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    CLAE=dict(config="configs/quick/clae_simclr_scenes64.py"),
)
next_step = ""
