"""ViT-L/16 and ViT-H/14 fine-tuned on ImageNet-1k for 50 epochs, by the settings of CIM's released
script.

Settings, what of them is ours, and the caution about the learning rate: imagenet_vitb16_100e.py;
only the length differs.

Launch:   bash tools/dist_train.sh tools/finetune.py 8 work_dirs/cim_vitl16/final.pth \
              configs/finetune/imagenet_vitl16_50e.py --data data/imagenet
Hardware: 8 GPUs
Result:   none published that we know; not reproduced by us
Knob:     as there
"""

_base_ = "imagenet_vitb16_100e.py"
schedule = dict(epochs=50)
