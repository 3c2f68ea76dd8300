# CLAE around PixPro on the embedded data set "scenes", everything but the objective as in scenes64.py.
#
#   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
#   python tools/train.py configs/quick/clae_pixpro_scenes64.py --work-dir work_dirs/clae_pixpro_scenes64
#
# Hardware: 2 CPU cores. Expected result: not measured. Status: our own recipe and combination.
# Knob people ask for: epsilon, in 1/255. Attacked is the other view: PixPro has no negatives, only the match itself.
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
