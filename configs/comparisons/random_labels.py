"""What random labels teach: learning by heart random labels of 480 images, their real labels under
the same conditions (no augmentation), or nothing. Weights are compared as trained; tools/rescale.py
is not part of a comparison.

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
