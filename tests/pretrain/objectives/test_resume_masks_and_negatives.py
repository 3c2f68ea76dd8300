"""What objectives draw or keep from step to step continues exactly in a run that was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook

from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig

OBJECTIVES = {
    "SimMIM": dict(mask_size=8, mask_ratio=0.5),
    "IBOT": dict(prototypes=8, hidden=8, bottleneck=4, sharpening=dict(how="centring")),
    "DINO": dict(prototypes=8, hidden=8, bottleneck=4, sharpening=dict(how="centring")),
    "Distillation": dict(momentum=0.5),
    "LeJEPA": dict(hidden=8, dim=4, directions=8, cells=4),
    "NeCo": dict(hidden=8, dim=4, side=2, entries=16, entering=3),
    "AdCo": dict(hidden=8, dim=4, negatives=16, negative_lr=0.5),
    "SlotCon": dict(slots=4, hidden=8, dim=4),
    "CrIBo": dict(
        clusters=4, images=6, images_from=0.5, prototypes=8, hidden=8, bottleneck=4, hold_epochs=0
    ),
}


class Dies(Hook):
    """Ends the run before its sixth step, one step after a checkpoint."""

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == 5:
            raise KeyboardInterrupt


def config(objective: str, image_folder: Path, work_dir: Path) -> PretrainConfig:
    view = dict(size=32, scale=(0.3, 1.0), flip=0.5)
    vit = dict(type="TimmBackbone", name="vit_tiny_patch16_224", patch_size=8, img_size=32)
    return PretrainConfig(
        dict(
            model=dict(
                type="Pretrainer",
                backbone=dict(vit, embed_dim=24, depth=1, num_heads=2),
                objectives=[dict(type=objective, **OBJECTIVES[objective])],
            ),
            source=dict(type="ImageFolder", root=str(image_folder)),
            views=dict(type="ViewRecipe", groups={"global": [view, view]}),
            loader=dict(workers=0),
            schedule=dict(global_batch=4, samples=28, lr_rule="none", lr=1e-3, accumulate=2),
            optimizer=dict(type="AdamW"),
            engine=dict(checkpoint_every=2, log_every=100),
            vis_backends=[],
            work_dir=str(work_dir),
        )
    )


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_resumed_equals_uninterrupted_bit_for_bit(
    objective: str, image_folder: Path, tmp_path: Path
) -> None:
    build_runner(config(objective, image_folder, tmp_path / "whole")).train()
    killed = build_runner(config(objective, image_folder, tmp_path / "cut"))
    killed.register_hook(Dies())
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    build_runner(config(objective, image_folder, tmp_path / "cut"), resume="auto").train()
    whole, resumed = (
        torch.load(tmp_path / name / "final.pth", weights_only=True)["state_dict"]
        for name in ("whole", "cut")
    )
    assert whole.keys() == resumed.keys()
    assert [name for name, value in whole.items() if not torch.equal(value, resumed[name])] == []
