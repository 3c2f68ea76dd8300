"""The pyramid that a checkpoint of ours holds beside its network."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.export.pyramid import pretrained_levels


def test_levels_are_found_in_our_checkpoints_alone(tmp_path: Path) -> None:
    path, key = tmp_path / "c.pth", "fpn.inner_blocks.0.0.weight"
    levels = {
        f"objectives.1.{name}.{key}": torch.full((1,), i)
        for i, name in enumerate(("levels", "target_levels"))
    }
    others = {"backbone.model.x": torch.ones(1), "objectives.1.scale": torch.ones(1)}
    torch.save({"state_dict": levels | others, "meta": {}}, path)
    assert pretrained_levels(f"{path}?map_stride=8") == {key: torch.zeros(1)}
    assert pretrained_levels(str(path), "target") == {key: torch.ones(1)}
    assert pretrained_levels("random:resnet18") == {}
    torch.save({"state_dict": others}, path)
    assert pretrained_levels(str(path)) == {}


def test_of_several_pyramids_that_of_the_first_objective_by_number_counts(tmp_path: Path) -> None:
    path, key = tmp_path / "c.pth", "fpn.inner_blocks.0.0.weight"
    state = {f"objectives.{i}.levels.{key}": torch.full((1,), i) for i in (10, 2)}
    torch.save({"state_dict": state | {"backbone.model.x": torch.ones(1)}, "meta": {}}, path)
    assert pretrained_levels(str(path)) == {key: torch.full((1,), 2)}
