"""AdCo, ResNet-50, ImageNet-1k, 200 epochs at batch 256.

Launch:   bash tools/dist_train.sh configs/imagenet/adco_r50_200e.py 8
Hardware: 8 GPUs, 32 images each; the negatives and their velocity take 67 MB on each
Time:     not known
Result:   authors' repository: ImageNet linear 68.6 % (200 epochs); not reproduced by us
Knob:     objectives[0].negative_lr: with another batch or another number of negatives it wants
          another value
Source:   the authors' repository for the negatives: 65,536 of them, lr 3, momentum 0.9, weight
          decay 1e-4, tau 0.02, and tau 0.12 of the network
Differs:  the rest is MoCo v2's usual recipe, not confirmed by a source we could read: SGD 0.03 with
          a cosine, weight decay 1e-4, target momentum 0.999, its views; SyncBN in place of shuffled
          BatchNorm; whether the published number learned in both directions, as here, is not known
          to us
"""

_base_ = ["../_base_/runtime.py", "../_base_/imagenet.py", "../_base_/views_moco224.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[dict(type="AdCo", hidden=2048, dim=128, negatives=65_536, negative_lr=3.0)],
    momentum=dict(start=0.999, end=0.999),
)
schedule = dict(global_batch=256, epochs=200, lr_rule="linear", lr_per_256=0.03, lr_min=0.0)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
