"""ResNet-50 fine-tuned on 10 % of ImageNet-1k for 30 epochs (1 %: 60 epochs): semi-supervised
learning.

Usual for this protocol, not checked by us against anybody's code: SGD with Nesterov momentum, 0.05
per 256 images, no warm-up, no weight decay, crops and mirrors only; test at 256 → 224. Ours: the
cosine, bf16.

Launch:   bash tools/dist_train.sh tools/finetune.py 4 work_dirs/pixpro_r50_100e/final.pth \
              configs/finetune/imagenet_r50_semi_30e.py --data data/imagenet --fraction 0.1
          …/imagenet_r50_semi_30e.py --data data/imagenet --fraction 0.01 \
              --cfg-options schedule.epochs=60
          …/imagenet_r50_semi_30e.py --data data/imagenet \
              --labels 10percent.txt     # the published list instead of our draw
Hardware: 4 GPUs
Result:   none; our own recipe, not run by us
Knob:     --fraction, --labels, schedule.epochs, schedule.lr_per_256
"""

_base_ = "imagenet_vitb16_100e.py"
model = dict(
    pooling="network",
    crop_fraction=0.875,
    drop_path=0.0,
    smoothing=0.0,
    mixup=0.0,
    cutmix=0.0,
    erase=0.0,
)
views = dict(randaugment=None)
schedule = dict(
    _delete_=True,
    global_batch=1024,
    epochs=30,
    lr_rule="linear",
    lr_per_256=0.05,
    warmup_from=0.0,
    lr_min=0.0,
)
optimizer = dict(_delete_=True, type="SGD", momentum=0.9, nesterov=True)
