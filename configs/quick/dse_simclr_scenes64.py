"""SimCLR with DSE as a regulariser on the embedded data set "scenes"; everything else as in
scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/dse_simclr_scenes64.py
Hardware: 2 CPU cores
Result:   not known; our own recipe
Knob:     beta
"""

_base_ = "scenes64.py"
model = dict(
    objectives=[
        dict(
            type="WithDSE",
            objective=dict(type="SimCLR", hidden=256, dim=128, temperature=0.2),
            beta=0.001,
        )
    ]
)
