"""SimCLR on annotated boxes instead of whole images of the embedded data set "scenes": every sample
is one object. As many boxes as the training part has images (2,400, chosen by source.seed), all
else as in simclr_scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/boxes_scenes64.py
Hardware: 2 CPU cores
Result:   none measured; configs/comparisons/boxes.py sets it beside whole images; our own recipe
Knob:     source.margin
"""

_base_ = "simclr_scenes64.py"
source = dict(type="CocoBoxes", label="category", margin=0.1, min_size=16, count=2400, seed=0)
