"""SupCon on the embedded data set "scenes": the class of an image is that of its largest object; an
image without an object has none (-1), and only its own views attract each other. Projector and
temperature are those of simclr_scenes64.py, so the two recipes differ by the labels alone;
everything but the objective as in scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/supcon_scenes64.py
Hardware: 2 CPU cores
Result:   docs/results.md, also on photos; our own recipe
Knob:     temperature; loader.images_per_class, which makes sure of positives in small batches
"""

_base_ = "scenes64.py"
model = dict(
    objectives=[dict(type="SupCon", hidden=256, dim=128, projector_norm=True, temperature=0.2)]
)
