# DenseCL on the embedded data set "scenes", everything but the objective as in scenes64.py.
#
#   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
#   python tools/train.py configs/quick/densecl_scenes64.py --work-dir work_dirs/densecl_scenes64
#
# Hardware: 2 CPU cores. Expected result: docs/results.md. Status: our own recipe. The queue holds the keys of 512 of
# the 2400 training images: a larger one is slow here and would often hold older keys of a query's own image.
# Knob people ask for: entries.
_base_ = "scenes64.py"
model = dict(objectives=[dict(type="DenseCL", hidden=256, dim=128, entries=1024, temperature=0.2)])
