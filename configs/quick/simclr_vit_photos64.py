"""SimCLR on a small ViT on the photos of configs/comparisons/real.py: a start for post-training
where no published ViT can be fetched, see docs/post_training.md.

Launch:   python tools/prepare_data.py caltech101
          python tools/train.py configs/quick/simclr_vit_photos64.py
Hardware: 2 CPU cores
Result:   our own recipe
Knob:     schedule.samples
"""

_base_ = "scenes64.py"
_vit = dict(img_size=64, patch_size=8, embed_dim=192, depth=4, num_heads=3)
_view = dict(
    size=64,
    scale=(0.2, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grey=0.2,
)
model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", name="vit_tiny_patch16_224", **_vit),
    objectives=[dict(type="SimCLR", hidden=256, dim=128, temperature=0.2)],
)
source = dict(_delete_=True, type="ImageFolder", root="data/real/caltech101/train", labels=False)
views = dict(groups={"global": [_view, _view]})
schedule = dict(global_batch=64, samples=30_000, warmup_samples=3_000)
