# What random labels teach: learning by heart random labels of 480 images, their real labels under the same conditions
# (no augmentation), or nothing. Weights are compared as trained; tools/rescale.py is not part of a comparison.
#
#   python tools/compare.py configs/comparisons/random_labels.py
#
# Hardware: 2 CPU cores. Expected result: none measured. Status: our own recipe. Knob people ask for: budget.
title = "Scenes: random labels, real labels, no training"
_root = "data/scenes"
prepare = dict(scenes=dict(out=_root, images=3000, size=96, seed=0))

base = "configs/quick/random_labels_scenes64.py"
budget = dict(samples=24_000)
seeds = (0, 1, 2)
_images = dict(annotations=f"{_root}/instances_train.json", root=f"{_root}/images/train", count=480)
arms = dict(
    untrained=dict(train=False),
    random_labels=dict(),
    real_labels=dict(overrides={"source": dict(_delete_=True, type="CocoImages", label="largest", **_images)}),
)

_retrieval = dict(size=(96, 96), neighbours=30, temperature=0.02, memory_size=102_400, passes=1, augment=False)
benchmarks = dict(
    retrieval=dict(type="retrieval", data=dict(type="SegmentationFolder", root=_root, layout="scenes"), **_retrieval),
    knn=dict(type="knn", data=dict(type="ClassFolder", root=f"{_root}/crops"), size=64),
)
primary = "retrieval.mIoU"
columns = ("retrieval.mIoU", "retrieval.pixel_accuracy", "knn.top1")
baselines = dict(majority=dict(type="majority", benchmark="retrieval", stride=8))
