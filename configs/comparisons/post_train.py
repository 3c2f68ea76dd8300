"""Is a published backbone better after post-training on your own images? This is what
`pixelpretext post-train` runs, with its own backbone, images and masks in the places of these; see
docs/post_training.md.

All arms begin with the same published weights but `scratch`, and `untouched` is these weights as
they are. Judged on frozen features with few masks: every hundredth, every twentieth and every
second one. The arms with iBOT's heads need a ViT.

Launch:   python tools/compare.py configs/comparisons/post_train.py
Hardware: 1 GPU
Result:   none measured; our own recipe
Knob:     budget
"""

title = "Post-training DINO's ViT-S/16"
base = "configs/one_gpu/densecl_vits16_post_train.py"
budget = dict(samples=250_000)
seeds = (0, 1, 2)
overrides = {
    "source": dict(_delete_=True, type="ImageFolder", root="data/photos", labels=False),
    "optimizer.heads_first": 0.1,
    "schedule.warmup_samples": 12_500,
    "engine.checkpoint_every": 488,
    "hooks": [
        dict(type="DenseStructureHook", images=256),
        dict(type="CollapseHook", every=500),
        dict(type="ThroughputHook", every=100),
    ],
}

_published = dict(
    type="TimmBackbone", name="vit_small_patch16_224", start="timm:vit_small_patch16_224.dino"
)
_fresh = {
    "schedule.lr": 5e-4,
    "optimizer.backbone_lr": 1.0,
    "optimizer.heads_first": 0.0,
}
_prototypes = dict(prototypes=8192, hold_epochs=0.0, sharpening=dict(end=0.04))
_densecl = dict(type="DenseCL", hidden=2048, dim=128, entries=65_536)
_local = dict(size=96, scale=(0.05, 0.25), jitter=dict(brightness=0.4, contrast=0.4), grey=0.2)
# NeCo's views are not mirrored and overlap
_changes = dict(
    flip=0.0, jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8), grey=0.2
)
_large = dict(
    size=224, scale=(0.25, 1.0), overlap=dict(group="global", share=0.02, of="image"), **_changes
)
_small = dict(
    size=96, scale=(0.05, 0.25), overlap=dict(group="global", share=0.01, of="image"), **_changes
)
arms = {
    "untouched": dict(train=False),
    "DenseCL": dict(),
    "PixPro": dict(overrides={"model.objectives": [dict(type="PixPro", hidden=2048)]}),
    "iBOT++": dict(
        overrides={"model.objectives": [dict(type="IBOT", visible_weight=1.0, **_prototypes)]}
    ),
    # clean views of the target network lead; then: the untouched backbone holds cells together
    "PaKA": dict(
        overrides={
            "model.objectives": [dict(type="PaKA", teacher="clean")],
            "views.groups.clean": [
                dict(size=224, same_as=("global", 0)),
                dict(size=224, same_as=("global", 1)),
            ],
        }
    ),
    "DenseCL+Gram": dict(
        overrides={
            "model.objectives": [_densecl, dict(type="Gram", twins="large", weight=2.0)],
            "views.groups.large": [
                dict(size=448, same_as=("global", 0)),
                dict(size=448, same_as=("global", 1)),
            ],
        }
    ),
    "NeCo": dict(
        overrides={
            "model.objectives": [dict(type="NeCo")],
            "views.groups.global": [_large, _large],
            "views.groups.local": [_small] * 4,
        }
    ),
    # the plain control: as many steps from the same start, nothing dense
    "DINO+KoLeo": dict(
        overrides={
            "model.objectives": [
                dict(type="DINO", **_prototypes),
                dict(type="KoLeo", weight=0.1),
            ],
            "views.groups.local": [_local] * 4,
        }
    ),
    # a smaller network of the same stride learns the cells of the untouched one
    "distilled": dict(
        overrides={
            "model.backbone": dict(_delete_=True, type="TimmBackbone", name="vit_tiny_patch16_224"),
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

_masks = dict(layout="voc", root="data/VOCdevkit/VOC2012")
_retrieval = dict(type="retrieval", size=(512, 512), memory_size=1_024_000, passes=1, augment=False)
_probe = dict(type="probe", size=(448, 448))
benchmarks = dict(
    retrieval_1=dict(data=dict(**_masks, every=(100, 1)), **_retrieval),
    retrieval_5=dict(data=dict(**_masks, every=(20, 1)), **_retrieval),
    retrieval_50=dict(data=dict(**_masks, every=(2, 1)), **_retrieval),
    probe_1=dict(data=dict(**_masks, every=(100, 1)), **_probe),
    probe_5=dict(data=dict(**_masks, every=(20, 1)), **_probe),
    probe_50=dict(data=dict(**_masks, every=(2, 1)), **_probe),
)
primary = "retrieval_50.mIoU"
columns = (
    "retrieval_1.mIoU",
    "retrieval_5.mIoU",
    "retrieval_50.mIoU",
    "probe_1.mIoU",
    "probe_5.mIoU",
    "probe_50.mIoU",
)
statistics = ("verdict",)
_dense = ("retrieval_1", "retrieval_5", "retrieval_50")
baselines = dict(
    majority=dict(benchmark=_dense, stride=16), position=dict(benchmark=_dense, stride=16)
)
