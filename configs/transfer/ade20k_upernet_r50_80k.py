"""ADE20K, UPerNet on ResNet-50, 80k iterations: mmsegmentation's own recipe.

Launch:   bash tools/dist_train.sh tools/transfer.py 4 CHECKPOINT \
              configs/transfer/ade20k_upernet_r50_80k.py \\
          --data data/ADEChallengeData2016
Hardware: mmsegmentation: 4 V100, 4 images each
Time:     not known
Result:   mmsegmentation's model zoo: 40.70 mIoU from supervised ResNet-50-V1c; not reproduced by us
Knob:     transfer.batch, with optim_wrapper.optimizer.lr in proportion
Source:   mmsegmentation (upernet_r50_4xb4-80k_ade20k-512x512): SGD 0.01, weight decay 5e-4, poly
          0.9 down to 1e-4, auxiliary head of weight 0.4 on the third stage
Differs:  ResNet v1 with a 7 x 7 stem, whose keys a pretrained ResNet-50 has, in place of V1c
"""

_base_ = [
    "mmseg::_base_/models/upernet_r50.py",
    "mmseg::_base_/datasets/ade20k.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]

custom_imports = dict(imports=["benchmarks.mm.modules"])
transfer = dict(task="segmentation", batch=16, backbone="native")
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(type="ResNet", style="pytorch", frozen_stages=-1, norm_eval=False),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
