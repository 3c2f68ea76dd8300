"""CLAE with SimCLR's loss on the embedded data set "scenes", everything but the objective as in
simclr_scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/clae_simclr_scenes64.py
Hardware: 2 CPU cores; a step takes about 1.9 times as long as SimCLR's
Result:   on photos below SimCLR at this length, see configs/comparisons/clae.py; our own recipe
Knob:     epsilon, in 1/255
"""

_base_ = "scenes64.py"
model = dict(
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="SimCLR", hidden=256, dim=128, temperature=0.2),
            source="anchor",
            attack="fgsm",
            epsilon=4.0,
        )
    ]
)
