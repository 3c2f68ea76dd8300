"""ADE20K, UPerNet on ViT-B/16, 160k iterations: the recipe in common use for ViTs, as CIM's own
settings are not known.

Launch:   bash tools/dist_train.sh tools/transfer.py 8 CHECKPOINT \
              configs/transfer/ade20k_upernet_vit_160k.py \\
          --data data/ADEChallengeData2016
Hardware: 8 GPUs, 2 images each
Time:     not known
Result:   mmsegmentation's model zoo: 48.13 mIoU from MAE's ViT-B by nearly this recipe; CIM's
          number is not known to us; not reproduced by us
Knob:     optim_wrapper.paramwise_cfg.layer_decay
Source:   ours, after what is usual: 512 x 512, batch 16, AdamW at 1e-4 with layer decay, weight
          decay 0.05, drop path 0.1, four evenly spaced blocks, one scale. From mmsegmentation's
          recipe for MAE (mae-base_upernet_8xb2): decay 0.65, warm-up of 1,500 iterations, linear
          down to 0, Feature2Pyramid, widths, auxiliary head of weight 0.4, test in windows of 512
          every 341 pixels
Differs:  from that recipe: blocks 3, 6, 9 and 12 instead of 4, 6, 8 and 12; float32, not AMP;
          absolute positions resized to 32 x 32, not relative ones. A fixed sine-cosine table stays
          fixed and a frozen patch embedding is trained (ours)
"""

_base_ = [
    "mmseg::_base_/models/upernet_mae.py",
    "mmseg::_base_/datasets/ade20k.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_160k.py",
]

custom_imports = dict(imports=["benchmarks.mm.modules"])
transfer = dict(task="segmentation", batch=16, backbone="timm")
find_unused_parameters = True  # the last LayerNorm of the network, which maps do not pass through
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type="TimmBackbone",
        name="vit_base_patch16_224",
        img_size=512,
        # A picture longer than 4:1 gives windows that the patches do not divide.
        dynamic_img_pad=True,
        drop_path_rate=0.1,
        out_indices=(2, 5, 8, 11),
    ),
    neck=dict(
        embed_dim=768, rescales=[4, 2, 1, 0.5], norm_cfg=dict(type="SyncBN", requires_grad=True)
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768], channels=768, num_classes=150),
    auxiliary_head=dict(in_channels=768, num_classes=150),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="TimmLayerDecay",
    paramwise_cfg=dict(layer_decay=0.65),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1_500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=1_500, end=160_000, by_epoch=False),
]
