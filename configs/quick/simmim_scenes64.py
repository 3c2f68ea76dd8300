"""SimMIM on the embedded data set "scenes", everything but the objective as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/simmim_scenes64.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     mask_size
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="SimMIM", mask_size=16)])
