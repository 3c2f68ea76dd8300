"""Random labels learnt by heart at 32 px by a network whose first layer has more filters (64) than
a filter has weights (27), so that their covariance says something; checkpoints along the way stay.
Everything else as in random_labels_scenes64.py.

Launch:   python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
          python tools/train.py configs/quick/random_labels_filters32.py
          python tools/analyse.py alignment work_dirs/random_labels_filters32/iter_*.pth \
              --data classes:data/scenes/crops --set size=32 leading=12
Hardware: 2 CPU cores
Result:   docs/analyses/random_labels.md; our own recipe
Knob:     model.backbone.stem_width, the number of filters
"""

_base_ = "random_labels_scenes64.py"
model = dict(backbone=dict(stem_type="deep", stem_width=64))
views = dict(groups={"global": [dict(size=32, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)]})
engine = dict(checkpoint_every=300, keep_checkpoints=5)
