"""SlotCon on the embedded data set "scenes", everything but the objective as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/slotcon_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     slots
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="SlotCon", slots=64, hidden=256, dim=128)])
