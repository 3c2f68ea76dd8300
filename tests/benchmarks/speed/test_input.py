"""The input benchmark: its arms make comparable views, and its table computes what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.input import generated_jpegs, measure, our_arm, read_jpegs, stock_arm, table
from pretrain.data.decode import decode


def test_arms_make_normalised_views_of_the_same_kind() -> None:
    files = generated_jpegs(6)
    for arm in (stock_arm(), our_arm("workers"), our_arm("device")):
        views = arm(files)
        assert views.shape == (6, 2, 3, 224, 224)
        # ImageNet-normalised values of images around mid-grey; solarised or brightened ones move
        # them a little.
        assert abs(views.mean().item()) < 1.0 and 0.3 < views.std().item() < 2.0


def test_generated_images_have_neighbours_alike() -> None:
    image = decode(generated_jpegs(1)[0]).astype(float)
    assert image.shape == (375, 500, 3) and image.std() > 30
    steps = abs(image[:, 1:] - image[:, :-1]).mean()
    assert steps < 0.35 * image.std()  # white noise has 1.13


def test_rates_count_the_files_and_ratios_refer_to_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000))
    monkeypatch.setattr("benchmarks.speed.input.time.process_time", lambda: float(next(clock)))
    arm = our_arm("workers")
    rates = measure({"stock": arm, "ours": arm}, generated_jpegs(2), rounds=2)
    assert rates == {"stock": [2.0, 2.0], "ours": [2.0, 2.0]}
    text = table({"stock": [10.0, 20.0, 30.0], "ours": [50.0, 120.0, 210.0]}, "3 files")
    assert "| ours | 120 | 50 … 210 | 6.0 |" in text and "3 files" in text


def test_missing_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \.jpg files there"):
        read_jpegs(tmp_path / "nowhere", 3)
