"""What random labels teach: learning by heart random labels of 480 images, their real labels under
the same conditions (no augmentation), or nothing: frozen features, whether the first layer is
aligned with its inputs, and what its filters or their covariance alone give to a new training.

Launch:   python tools/compare.py configs/comparisons/random_labels.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     budget
"""

_base_ = "scenes.py"
title = "Scenes: random labels, real labels, no training"
base = "configs/quick/random_labels_scenes64.py"
budget = dict(samples=24_000)
_images = dict(
    annotations="data/scenes/instances_train.json", root="data/scenes/images/train", count=480
)
arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    random_labels=dict(),
    real_labels=dict(
        overrides={"source": dict(_delete_=True, type="CocoImages", label="largest", **_images)}
    ),
)

_crops = dict(type="ClassFolder", root="data/scenes/crops")
benchmarks = dict(
    alignment=dict(type="alignment", data=_crops, size=64, images=300),
    dead_units=dict(type="dead_units", data=_crops, size=64, images=300),
    aligned_start=dict(type="aligned_start", data=dict(**_crops, every=(4, 2)), epochs=8),
)
columns = (
    "retrieval.mIoU",
    "knn.top1",
    "alignment.misalignment",
    "aligned_start.drawn_gain",
    "aligned_start.trained_gain",
)
