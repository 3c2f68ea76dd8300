"""VICRegL on the embedded data set "scenes", everything but the objective as in scenes64.py.

Spread is taken over all kept cells (statistics="cells"): 16 images alone say little about 128
channels. Both rules keep 20 of the 64 cells, where the authors keep 20 and 4 by location and all by
feature

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/vicregl_scenes64.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     alpha
"""

_base_ = "scenes64.py"
model = dict(
    objectives=[
        dict(
            type="VICRegL",
            hidden=256,
            dim=128,
            local_hidden=256,
            local_dim=128,
            alpha=0.75,
            matches=20,
            statistics="cells",
        )
    ]
)
