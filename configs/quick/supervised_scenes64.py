"""Supervised classification of the largest object, the upper control, on the embedded data set
"scenes"; everything but the objective as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/supervised_scenes64.py
Hardware: 2 CPU cores
Result:   configs/comparisons/scenes.py; our own recipe
Knob:     label_smoothing
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="Supervised", num_classes=10)])
