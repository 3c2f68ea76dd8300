"""post_train.py on a few CPU cores: small heads, small images and short trainings, and for lack of
a published network a ViT that was trained on the photos of real.py.

Launch:   python tools/train.py configs/quick/simclr_vit_photos64.py
          python tools/compare.py configs/comparisons/post_train_small.py
Hardware: 2 CPU cores
Result:   docs/results.md, by the commands of docs/post_training.md; our own recipe
Knob:     budget
"""

_base_ = "post_train.py"
title = "Post-training a small ViT"
prepare = dict(caltech101=dict(out="data/real/caltech101"), camvid=dict(out="data/real/camvid"))
budget = dict(samples=5_000)
_vit = dict(img_size=64, patch_size=8, embed_dim=192, depth=4, num_heads=3)
_published = dict(
    type="TimmBackbone",
    name="vit_tiny_patch16_224",
    start="work_dirs/simclr_vit_photos64/final.pth",
    **_vit,
)
_student = dict(img_size=64, patch_size=8, embed_dim=96, depth=2, num_heads=3)
_densecl = dict(type="DenseCL", hidden=256, dim=128, entries=1024)
_photos = {
    "jitter": dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    "grey": 0.2,
    "blur": None,
    "size": 64,
}
overrides = {
    "source": dict(root="data/real/caltech101/train"),
    "model.backbone": dict(_delete_=True, **_published),
    "model.objectives": [_densecl],
    "model.momentum": dict(start=0.99, end=1.0),
    "views.groups.global.0": _photos,
    "views.groups.global.1": _photos,
    "loader.workers": 0,
    "schedule.global_batch": 16,
    "schedule.warmup_samples": 250,
    "optimizer.heads_first": 0.1,
    "engine.precision": "fp32",
    "engine.sync_bn": False,
    "engine.checkpoint_every": 40,
    "engine.keep_checkpoints": 1,
    "engine.log_every": 10,
    "hooks": [dict(type="DenseStructureHook", images=64)],
    "vis_backends": [],
}

_prototypes = dict(
    prototypes=512, hidden=256, bottleneck=64, hold_epochs=0.0, sharpening=dict(end=0.04)
)
_local = dict(size=32, scale=(0.05, 0.4), jitter=dict(brightness=0.4, contrast=0.4), grey=0.2)
_fresh = {
    "schedule.lr": 5e-4,
    "optimizer.backbone_lr": 1.0,
    "optimizer.heads_first": 0.0,
}
_changes = dict(
    flip=0.0, jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8), grey=0.2
)
_large = dict(
    size=64, scale=(0.25, 1.0), overlap=dict(group="global", share=0.02, of="image"), **_changes
)
_small = dict(
    size=32, scale=(0.05, 0.25), overlap=dict(group="global", share=0.01, of="image"), **_changes
)
arms = {
    "_delete_": True,
    "untouched": dict(train=False),
    "DenseCL": dict(),
    "PixPro": dict(
        overrides={"model.objectives": [dict(type="PixPro", hidden=256, dim=128)]},
    ),
    "iBOT++": dict(
        overrides={"model.objectives": [dict(type="IBOT", visible_weight=1.0, **_prototypes)]}
    ),
    "PaKA": dict(
        overrides={
            "model.objectives": [dict(type="PaKA", teacher="clean", hidden=256, dim=128, side=4)],
            "views.groups.clean": [
                dict(size=64, same_as=("global", 0)),
                dict(size=64, same_as=("global", 1)),
            ],
        }
    ),
    "DenseCL+Gram": dict(
        overrides={
            "model.objectives": [_densecl, dict(type="Gram", twins="large", weight=2.0)],
            "views.groups.large": [
                dict(size=128, same_as=("global", 0)),
                dict(size=128, same_as=("global", 1)),
            ],
        }
    ),
    "NeCo": dict(
        overrides={
            "model.objectives": [dict(type="NeCo", hidden=256, dim=128, side=4, entries=1024)],
            "views.groups.global": [_large, _large],
            "views.groups.local": [_small] * 2,
        }
    ),
    "DINO+KoLeo": dict(
        overrides={
            "model.objectives": [
                dict(type="DINO", **_prototypes),
                dict(type="KoLeo", weight=0.1),
            ],
            "views.groups.local": [_local] * 2,
        }
    ),
    "distilled": dict(
        overrides={
            "model.backbone": dict(
                _delete_=True, type="TimmBackbone", name="vit_tiny_patch16_224", **_student
            ),
            "model.reference": dict(backbone=_published),
            "model.objectives": [dict(type="Distillation")],
            **_fresh,
        }
    ),
    "scratch": dict(
        overrides={
            "model.backbone.start": None,
            "model.backbone.frozen_statistics": False,
            **_fresh,
        }
    ),
}

_masks = dict(_delete_=True, layout="camvid", root="data/real/camvid")
_retrieval = dict(size=(96, 128), memory_size=51_200)
_probe = dict(size=(96, 128))
benchmarks = dict(
    retrieval_1=dict(data=dict(**_masks, every=(100, 1)), **_retrieval),
    retrieval_5=dict(data=dict(**_masks, every=(20, 1)), **_retrieval),
    retrieval_50=dict(data=dict(**_masks, every=(2, 1)), **_retrieval),
    probe_1=dict(data=dict(**_masks, every=(100, 1)), **_probe),
    probe_5=dict(data=dict(**_masks, every=(20, 1)), **_probe),
    probe_50=dict(data=dict(**_masks, every=(2, 1)), **_probe),
)
baselines = dict(majority=dict(stride=8), position=dict(stride=8))
