"""Instance discrimination on the embedded data set "scenes", everything but the objective as in
scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/instance_discrimination_scenes64.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     temperature
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="InstanceDiscrimination", dim=128, temperature=0.2)])
