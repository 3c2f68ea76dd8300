"""DenseCL, ResNet-50, ImageNet-1k, 200 epochs.

Launch:   bash tools/dist_train.sh configs/imagenet/densecl_r50_200e.py 8
Hardware: 8 GPUs, 32 images each; beside the network, logits of 0.4 GB per GPU and twice that in the
          backward pass
Time:     not known
Result:   paper's repository: VOC detection 58.7 AP, VOC segmentation 69.4 mIoU (200 epochs); not
          reproduced by us
Knob:     objectives[0].entries: keys in each queue; the cells' logits take 49 x entries x 4 bytes
          per image
Source:   the authors' code: 200 epochs, batch 256, SGD lr 0.03 with a cosine to 0, momentum 0.9,
          weight decay 1e-4, target momentum 0.999, tau 0.2, lambda 0.5, queues of 65,536, heads
          2048 -> 2048 -> 128 without BatchNorm, views; residual blocks start with their last
          BatchNorm at 1, linear layers as Kaiming's. Both losses, the queues and 4 steps of
          training agree with theirs to 1e-15
Differs:  no decay on biases and norms; the cosine per step, there per epoch; queues start empty,
          there with random vectors; SyncBN takes the place of MoCo's shuffled batches; the blur,
          see ../_base_/views_pixpro224.py
"""

_base_ = ["../_base_/runtime.py", "../_base_/imagenet.py", "../_base_/views_moco224.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50", zero_init_last=False),
    objectives=[
        dict(
            type="DenseCL",
            hidden=2048,
            dim=128,
            entries=65_536,
            temperature=0.2,
            dense_weight=0.5,
            symmetric=False,
            head_start="kaiming",
        )
    ],
    momentum=dict(start=0.999, end=0.999),
)
schedule = dict(global_batch=256, epochs=200, lr_rule="linear", lr_per_256=0.03, lr_min=0.0)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
