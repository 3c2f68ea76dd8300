"""CLAE around PixContrast on the embedded data set "scenes", everything but the objective as in
pixcontrast_scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/clae_pixcontrast_scenes64.py
Hardware: 2 CPU cores
Result:   not measured; our own recipe and combination
Knob:     source ("anchor" or "other") and epsilon, in 1/255
"""

_base_ = "scenes64.py"
model = dict(
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="PixContrast", hidden=256, dim=128, temperature=0.2),
            source="anchor",
            attack="fgsm",
            epsilon=4.0,
        )
    ]
)
