"""Supervised classification of random labels on the embedded data set "scenes": each image has one
of ten labels, drawn once. Augmentation is off (the whole image, never mirrored, colours as they
are), or the labels could not be learnt by heart, and 480 of the images are used, 50 times each.
Everything else as in scenes64.py.

The last line gives every weight tensor its initial norm back, before anything is trained on top of
it (load_from).

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/random_labels_scenes64.py
          python tools/rescale.py work_dirs/random_labels_scenes64/final.pth --out rescaled.pth
Hardware: 2 CPU cores, about 3 minutes
Result:   all labels learnt by heart after about 800 of 1,500 steps (one seed). What the weights are
          good for is not measured; our own recipe
Knob:     source.source.count
"""

_base_ = "scenes64.py"
model = dict(objectives=[dict(type="Supervised", num_classes=10)])
_root = "data/scenes"
source = dict(
    _delete_=True,
    type="RandomLabels",
    source=dict(
        type="CocoImages",
        annotations=f"{_root}/instances_train.json",
        root=f"{_root}/images/train",
        count=480,
    ),
    classes=10,
    seed=0,
)
views = dict(groups={"global": [dict(size=64, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)]})
