"""CLAE around PixPro on the embedded data set "scenes", everything but the objective as in
scenes64.py.

Attacked is the other view: PixPro has no negatives, only the match itself.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/clae_pixpro_scenes64.py
Hardware: 2 CPU cores
Result:   not measured; our own recipe and combination
Knob:     epsilon, in 1/255
"""

_base_ = "scenes64.py"
model = dict(
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="PixPro", hidden=256, dim=128),
            source="other",
            attack="fgsm",
            epsilon=4.0,
        )
    ]
)
