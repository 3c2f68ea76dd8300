"""ADE20K, UPerNet on ResNet-50, 160k iterations: mmsegmentation's own recipe.

Launch:   bash tools/dist_train.sh tools/transfer.py 4 CHECKPOINT \
              configs/transfer/ade20k_upernet_r50_160k.py \\
          --data data/ADEChallengeData2016
Hardware: mmsegmentation: 4 V100, 4 images each
Time:     not known
Result:   mmsegmentation's model zoo: 42.05 mIoU from supervised ResNet-50-V1c; not reproduced by us
Knob:     transfer.batch, with optim_wrapper.optimizer.lr in proportion
Source:   mmsegmentation (upernet_r50_4xb4-160k_ade20k-512x512): SGD 0.01, weight decay 5e-4, poly
          0.9 down to 1e-4, auxiliary head of weight 0.4 on the third stage
Differs:  ResNet v1 with a 7 x 7 stem, whose keys a pretrained ResNet-50 has, in place of V1c
"""

_base_ = ["ade20k_upernet_r50_80k.py"]

param_scheduler = [
    dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=160_000, by_epoch=False)
]
train_cfg = dict(max_iters=160_000, val_interval=16_000)
default_hooks = dict(checkpoint=dict(interval=16_000))
