# SimMIM on the embedded data set "scenes", everything but the objective as in scenes64.py.
#
#   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
#   python tools/train.py configs/quick/simmim_scenes64.py --work-dir work_dirs/simmim_scenes64
#
# Hardware: 2 CPU cores. Expected result: docs/results.md. Status: our own recipe.
# Knob people ask for: mask_size.
_base_ = "scenes64.py"
model = dict(objectives=[dict(type="SimMIM", mask_size=16)])
