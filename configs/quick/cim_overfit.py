"""CIM on 32 images with nothing random but where the crops lie: a check that it can learn to find
exemplars at all.

With fixed views: tests/pretrain/objectives/test_cim_overfit.py

Launch:   ls data/scenes/images/train/*.jpg | head -32 > data/scenes/first32.txt
          python tools/train.py configs/quick/cim_overfit.py
Hardware: 2 CPU cores
Result:   IoU 0.79 on new crops of these images after two thirds of the run; more in
          docs/objectives/cim.md; our own recipe
Knob:     schedule.samples
"""

_base_ = "cim_scenes64.py"
_exemplar = dict(size=32, within="context", scale=(0.05, 0.48), ratio=(1 / 3, 3), flip=0.0)
views = dict(
    _delete_=True,
    type="ViewRecipe",
    groups={"context": [dict(size=80, scale=(1.0, 1.0), flip=0.0)], "exemplar": [_exemplar] * 6},
)
source = dict(_delete_=True, type="FileList", path="data/scenes/first32.txt")
schedule = dict(samples=24_000, warmup_samples=800, lr=2e-3)
