"""CLAE around CIM on the embedded data set "scenes", everything but the objective as in
cim_scenes64.py.

Attacked are all exemplars; where they lie in the context does not change.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/clae_cim_scenes64.py
Hardware: 2 CPU cores
Result:   not measured; our own recipe and combination
Knob:     epsilon, in 1/255
"""

_base_ = "cim_scenes64.py"
model = dict(
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="CIM", width=128, heads=4),
            source="both",
            attack="fgsm",
            epsilon=4.0,
        )
    ]
)
