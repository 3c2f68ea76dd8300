# CLAE around CIM on the embedded data set "scenes", everything but the objective as in cim_scenes64.py.
#
#   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
#   python tools/train.py configs/quick/clae_cim_scenes64.py --work-dir work_dirs/clae_cim_scenes64
#
# Hardware: 2 CPU cores. Expected result: not measured. Status: our own recipe and combination.
# Knob people ask for: epsilon, in 1/255. Attacked are all exemplars; where they lie in the context does not change.
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
