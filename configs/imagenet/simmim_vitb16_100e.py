"""SimMIM, ViT-B/16, ImageNet-1k, 100 epochs at batch 2048: masked-image modelling as a control.

Launch:   bash tools/dist_train.sh configs/imagenet/simmim_vitb16_100e.py 8
Hardware: 8 GPUs, 256 images each; on smaller ones schedule.accumulate, which changes nothing here
          (no BatchNorm)
Time:     not known
Result:   paper: 83.8 % after fine-tuning on ImageNet, ViT-B, 800 epochs; this short schedule is
          ours, untested
Knob:     objectives[0].mask_size
Source:   the paper: patches of 32 px, ratio 0.6, l1, light augmentation (crops of at least 67 % of
          the area, mirror), AdamW with weight decay 0.05, peak lr 8e-4 at batch 2048, 10 epochs of
          warm-up, cosine: its 100-epoch schedule for ablations, on Swin-B at 192 px there
Differs:  timm's plain ViT (absolute position embeddings, no layer scale) in place of one with
          relative positions; covered patches are learned pixels, not a learned token; no gradient
          clipping
"""

_base_ = ["../_base_/runtime.py", "../_base_/imagenet.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="vit_base_patch16_224"),
    objectives=[dict(type="SimMIM", mask_size=32, mask_ratio=0.6, loss="l1")],
)
views = dict(type="ViewRecipe", groups={"global": [dict(size=224, scale=(0.67, 1.0), flip=0.5)]})
schedule = dict(
    global_batch=2048, epochs=100, warmup_epochs=10, lr_rule="linear", lr_per_256=1e-4, lr_min=1e-6
)
optimizer = dict(type="AdamW", weight_decay=0.05)
