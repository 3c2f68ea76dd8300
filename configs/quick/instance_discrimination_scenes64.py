# Instance discrimination on the embedded data set "scenes", everything but the objective as in scenes64.py.
#
#   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
#   python tools/train.py configs/quick/instance_discrimination_scenes64.py
#
# Hardware: 2 CPU cores. Expected result: docs/results.md. Status: our own recipe.
# Knob people ask for: temperature.
_base_ = "scenes64.py"
model = dict(objectives=[dict(type="InstanceDiscrimination", dim=128, temperature=0.2)])
