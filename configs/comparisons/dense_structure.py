"""Does dense structure, which reads no labels, pick a good checkpoint? Three objectives with 24
checkpoints each, the network before its training among them, judged by dense retrieval.

Launch:   python tools/compare.py configs/comparisons/dense_structure.py
Hardware: 2 CPU cores
Result:   three seeds, docs/results.md: it does not, the pick lies below the last checkpoint in all
          nine trainings; our own recipe
Knob:     budget
"""

_base_ = "scenes.py"
title = "Scenes: does dense structure pick a checkpoint?"
budget = dict(samples=12_000)
overrides = {
    "schedule.warmup_samples": 1_200,
    "engine.checkpoint_every": 32,
    "engine.keep_checkpoints": 100,
    "hooks": [dict(type="DenseStructureHook", images=256)],
}
# No untrained arm: it has no checkpoints.
arms = dict(
    _delete_=True,
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    PixContrast=dict(config="configs/quick/pixcontrast_scenes64.py"),
    PixPro=dict(),
)

_scenes = dict(type="SegmentationFolder", root="data/scenes", layout="scenes", every=(6, 4))
benchmarks = dict(
    _delete_=True,
    along_training=dict(
        type="along_training", data=_scenes, size=(96, 96), images=128, memory_size=20_000
    ),
)
primary = "along_training.gain"
columns = (
    "along_training.gain",
    "along_training.regret",
    "along_training.chance_regret",
    "along_training.last_regret",
    "along_training.tau",
    "along_training.tau_samples",
)
baselines = dict(_delete_=True)
pictures = {}
next_step = "then the same for objectives, data and lengths of your own"
