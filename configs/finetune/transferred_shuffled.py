"""As transferred_domainnet.py without augmentation, for the analysis of shuffled blocks: resized to
256, the central 224.

Launch:   python tools/analyse.py block_shuffle work_dirs/pixpro/final.pth \
              --data "domains:data/domainnet?domain=quickdraw&cap=50000,50000&seed=2020" \
              --set recipe=transferred_shuffled block=1
          python tools/finetune.py … configs/finetune/transferred_shuffled.py fine-tunes without a
          shuffle
Hardware: 1 GPU
Result:   the paper's figure 3, as read in docs/analyses/block_shuffle.md; not reproduced by us
Knob:     as there
"""

_base_ = "transferred_domainnet.py"
views = dict(centre=0.875, flip=0.0)
