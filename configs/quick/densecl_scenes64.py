"""DenseCL on the embedded data set "scenes", everything but the objective as in scenes64.py.

The queue holds the keys of 512 of the 2400 training images: a larger one is slow here and would
often hold older keys of a query's own image

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/densecl_scenes64.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     entries
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="DenseCL", hidden=256, dim=128, entries=1024, temperature=0.2)])
