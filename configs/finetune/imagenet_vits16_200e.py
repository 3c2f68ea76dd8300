"""ViT-S/16 and ViT-Ti/16 fine-tuned on ImageNet-1k for 200 epochs, by the settings of CIM's
released script.

Settings, what of them is ours, and the caution about the learning rate: imagenet_vitb16_100e.py;
only the length differs.

Launch:   bash tools/dist_train.sh tools/finetune.py 4 work_dirs/cim_vits16/final.pth \
              configs/finetune/imagenet_vits16_200e.py --data data/imagenet
Hardware: 4 GPUs
Result:   none published that we know; not reproduced by us
Knob:     as there
"""

_base_ = "imagenet_vitb16_100e.py"
schedule = dict(epochs=200)
