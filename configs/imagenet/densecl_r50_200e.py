"""DenseCL, ResNet-50, ImageNet-1k, 200 epochs.

Launch:   bash tools/dist_train.sh configs/imagenet/densecl_r50_200e.py 8
Hardware: 8 GPUs, 32 images each; beside the network, logits of 0.4 GB per GPU and twice that in the backward pass
Time:     not known
Result:   paper's repository: VOC detection 58.7 AP, VOC segmentation 69.4 mIoU (200 epochs); not reproduced by us
Knob:     objectives[0].entries: keys in each queue; the cells' logits take 49 x entries x 4 bytes per image
Differs:  confirmed are ResNet-50, 200 epochs, lambda 0.5 and queues of 65,536; temperature 0.2, heads 2048 -> 2048 ->
          128 and momentum 0.999 are the values in common use. Ours, untested: learning rate, weight decay (which the
          engine keeps off biases and norms), batch and views are those usual for MoCo v2, not checked against the
          authors' code; SyncBN takes the place of MoCo's shuffled batches
"""

_base_ = ["../_base_/runtime.py", "../_base_/imagenet.py", "../_base_/views_moco224.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[
        dict(
            type="DenseCL",
            hidden=2048,
            dim=128,
            entries=65_536,
            temperature=0.2,
            dense_weight=0.5,
            symmetric=False,
        )
    ],
    momentum=dict(start=0.999, end=0.999),
)
schedule = dict(global_batch=256, epochs=200, lr_rule="linear", lr_per_256=0.03, lr_min=0.0)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
