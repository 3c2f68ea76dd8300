"""CIM, ResNet-50, ImageNet-1k, 100 epochs. The paper has ResNet-50 results, the released code only
ViTs.

Launch:   bash tools/dist_train.sh configs/imagenet/cim_r50_100e.py 8
Hardware: 8 GPUs, 128 images each
Time:     not known
Result:   ours, untested
Knob:     model.backbone.output_stride=16: 10 x 10 cells of the context and 4 x 4 of an exemplar, as
          ViTs have, not 5 x 5 and 2 x 2, for a dilated and dearer last stage
Differs:  how ResNets enter the decoder, the optimiser and the schedule are our choice: cells of the
          last map as tokens, no class token, nothing frozen, AdamW at the ViT's rate per image
"""

_base_ = ["../_base_/imagenet.py", "../_base_/runtime.py", "../_base_/views_cim224.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50"),
    objectives=[dict(type="CIM", width=512, heads=16)],
    momentum=dict(start=0.99, end=1.0),
    group="exemplar",
)
schedule = dict(
    global_batch=1024,
    epochs=100,
    warmup_epochs=10,
    lr_rule="linear",
    lr_per_256=1.5e-4,
    lr_min=1e-6,
)
optimizer = dict(type="AdamW", betas=(0.9, 0.95), weight_decay=0.05)
