"""BYOL on the embedded data set "scenes", everything but the objective as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/byol_scenes64.py
Hardware: 2 CPU cores
Result:   configs/comparisons/scenes.py; our own recipe
Knob:     hidden
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="BYOL", hidden=256, dim=128)])
