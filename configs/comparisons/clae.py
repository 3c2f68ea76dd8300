"""CLAE against its baseline on real photos at equal samples: SimCLR with and without the attacked
pair; networks and photos of configs/comparisons/real.py. At equal computing effort:
configs/comparisons/clae_compute.py.

Photos as in configs/comparisons/real.py.

Launch:   python tools/compare.py configs/comparisons/clae.py
Hardware: 2 CPU cores
Result:   three seeds, docs/results/clae.md: CLAE below SimCLR, linear probe 29.2 % against 32.7 %;
          our own recipe
Knob:     model.objectives.0.epsilon
"""

_base_ = "real.py"
title = "CLAE against SimCLR at equal samples: Caltech-101"
budget = dict(samples=10_000)
overrides = {"schedule.warmup_samples": 1_000}
arms = dict(
    _delete_=True,
    random=dict(train=False),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    CLAE=dict(config="configs/quick/clae_simclr_scenes64.py"),
)
benchmarks = dict(
    linear=dict(
        type="linear",
        data=dict(type="ClassFolder", root="data/real/caltech101"),
        size=112,
        dtype="float32",
    )
)
baselines = dict(
    majority=dict(benchmark=("retrieval", "other_drives", "knn", "linear"), stride=8),
    pixels=dict(benchmark=("knn", "linear")),
)
primary = "linear.top1"
columns = ("linear.top1", "knn.top1", "retrieval.mIoU")
next_step = "then pixelpretext compare comparisons/clae_compute: the same at equal computing effort"
