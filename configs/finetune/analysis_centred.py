"""As analysis.py without augmentation: every image is trained on as a test shows it, by its centre.

For the analysis of shuffled blocks: a crop of its own for every epoch would be another image after
the shuffle.

Launch:   python tools/finetune.py work_dirs/pixpro/final.pth configs/finetune/analysis_centred.py \
              --data data/scenes/crops
Hardware: 1 CPU core, minutes
Result:   our own recipe
Knob:     as there
"""

_base_ = "analysis.py"
views = dict(centre=0.875, flip=0.0)
