"""CIM learns a few fixed views by heart, as any working matcher must: upright exemplars, colours
untouched.

The long case, 32 images, about a minute on a free core:
    PIXELPRETEXT_LONG=1 .venv/bin/python -m pytest -s tests/pretrain/objectives/test_cim_overfit.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS

from pretrain.data import ViewDataset
from pretrain.data.scenes import write_scenes
from pretrain.data.sources import ImageFolder
from pretrain.engine.check import register_all
from pretrain.structures import Batch, collate

ROOT = Path(__file__).resolve().parents[3]
EXEMPLAR = dict(size=32, within="context", scale=(0.05, 0.48), ratio=(1 / 3, 3), flip=0.0)
GROUPS = {"context": [dict(size=80, scale=(0.5, 1.0), flip=0.0)], "exemplar": [EXEMPLAR] * 3}


def fixed_views(folder: Path, images: int) -> Batch:
    """One draw of views of that many generated scenes."""
    write_scenes(folder, images * 5 // 4, size=96, seed=0, workers=1, sequences=2)
    recipe = TRANSFORMS.build(dict(type="ViewRecipe", groups=GROUPS))
    dataset = ViewDataset(ImageFolder(folder / "images" / "train", labels=False), recipe, seed=0)
    return collate([dataset[0, index] for index in range(images)])


def overfit(samples: Batch, *, steps: int, batch: int) -> float:
    """Trains the quick recipe's network on these views for some steps; returns the mean IoU of
    their maps.
    """
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / "configs" / "quick" / "cim_scenes64.py")
    model = MODELS.build(cfg.model.to_dict())
    samples = model.data_preprocessor(samples)["batch"]
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.0
    )
    for step in range(steps):
        ramp, fall = (step + 1) / 20, 2.5 * (1 - step / steps)
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, ramp, fall)
        chosen = torch.randperm(len(samples.ids))[:batch]
        model(samples.map(lambda tensor, chosen=chosen: tensor[chosen]))["CIM.loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        model.after_step(step / steps)
    with torch.no_grad():
        return float(model(samples)["CIM.iou"])


def test_a_few_images(tmp_path: Path) -> None:
    register_all()
    assert overfit(fixed_views(tmp_path / "scenes", 4), steps=40, batch=4) > 0.5


@pytest.mark.skipif(
    "PIXELPRETEXT_LONG" not in os.environ, reason="about a minute: set PIXELPRETEXT_LONG=1"
)
def test_thirty_two_images(tmp_path: Path) -> None:
    register_all()
    iou = overfit(fixed_views(tmp_path / "scenes", 32), steps=300, batch=16)
    print(f"mean IoU of 96 maps after 300 steps: {iou:.3f}")
    assert iou >= 0.9
