"""ResNet-50 fine-tuned on ImageNet-1k for 100 epochs with the augmentation of the ViT recipe.

CIM reports a ResNet-50, but how it was fine-tuned is not in the release. So this is ours: the ViT
recipe (imagenet_vitb16_100e.py) with the network's own pooling, no layer decay and a lower peak.

Launch:   bash tools/dist_train.sh tools/finetune.py 4 work_dirs/cim_r50_100e/final.pth \
              configs/finetune/imagenet_r50_100e.py --data data/imagenet
Hardware: 4 GPUs
Result:   none; ours, untested
Knob:     schedule.lr_per_256, schedule.epochs
"""

_base_ = "imagenet_vitb16_100e.py"
model = dict(pooling="network", drop_path=0.0)
schedule = dict(lr_per_256=2.5e-4)
optimizer = dict(_delete_=True, type="AdamW", weight_decay=0.05)
