"""The input benchmark: its arms make comparable views, and its table computes what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed import input as speed_input
from benchmarks.speed import measuring
from benchmarks.speed.input import (
    COMMAND,
    generated_jpegs,
    measure,
    our_arm,
    read_jpegs,
    source,
    stock_arm,
    table,
)
from pretrain.command_line import execute
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
    with pytest.raises(ValueError, match=r"no \.jpg files there"):
        read_jpegs(tmp_path / "nowhere", 3)
    assert execute(COMMAND, "input", ["--images", str(tmp_path / "nowhere")]) == 2


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a/3.JPEG", "a/1.jpg", "a/.hidden.jpg", "a/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert read_jpegs(tmp_path, 9) == [b"a/1.jpg", b"a/3.JPEG", b"b/2.jpg"]
    assert read_jpegs(tmp_path, 1) == [b"a/1.jpg"]


def test_the_command_measures_three_arms_on_the_same_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arms: list[str] = []

    def known(given: dict[str, object], files: list[bytes], rounds: int) -> dict[str, list[float]]:
        arms.extend(given)
        assert len(files) == 2
        return {name: [10.0 * number] * rounds for number, name in enumerate(given, start=1)}

    monkeypatch.setattr(measuring, "prepare", lambda **options: None)
    monkeypatch.setattr(speed_input, "measure", known)
    assert execute(COMMAND, "input", ["--count", "2", "--rounds", "3"]) == 0
    text = capsys.readouterr().out
    assert arms[0] == "stock" and len(arms) == 3
    assert "2 generated JPEGs, median 500×375 px" in text and "median of 3 rounds" in text
    assert [line.split("|")[4].strip() for line in text.splitlines()[-3:]] == ["1.0", "2.0", "3.0"]


def test_the_source_is_described_by_medians_and_a_mean() -> None:
    files = generated_jpegs(1)
    assert source(files * 3, "files").startswith("3 files JPEGs, median 500×375 px, ")
    assert source(files, "files").endswith(f" {len(files[0]) / 1000:.0f} kB")
