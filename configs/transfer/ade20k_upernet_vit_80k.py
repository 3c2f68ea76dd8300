"""ADE20K, UPerNet on ViT-B/16, 80k iterations: half the length of ade20k_upernet_vit_160k.py and
otherwise the same.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/ade20k_upernet_vit_80k.py \\
          --data data/ADEChallengeData2016
Hardware: 8 GPUs, 2 images each
Time:     not known
Result:   ours, untested
Knob:     optim_wrapper.paramwise_cfg.layer_decay
Differs:  see ade20k_upernet_vit_160k.py
"""

_base_ = ["ade20k_upernet_vit_160k.py"]

param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1_500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=1_500, end=80_000, by_epoch=False),
]
train_cfg = dict(max_iters=80_000, val_interval=8_000)
default_hooks = dict(checkpoint=dict(interval=8_000))
