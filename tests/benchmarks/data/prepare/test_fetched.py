"""Data sets that users fetch: what is missing is said, and what lies there is counted as benchmarks
read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.layouts import LAYOUTS
from benchmarks.data.prepare.fetched import FETCHED, check_fetched

Write = Callable[[str, Path], Path]


def with_counts(monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> None:
    """Says something else about a data set."""
    monkeypatch.setitem(FETCHED, name, dataclasses.replace(FETCHED[name], **changes))


@pytest.mark.parametrize("name", list(FETCHED))
def test_what_is_missing_is_to_be_fetched(name: str, tmp_path: Path) -> None:
    assert name in LAYOUTS
    with pytest.raises(FileNotFoundError) as caught:
        check_fetched(name, tmp_path / name)
    message, own = str(caught.value), FETCHED[name]
    assert f"data set {name}: {tmp_path / name} is missing; fetch {own.unpack}" in message
    assert f"from {own.page} (rights: {own.rights}) and unpack into" in message


@pytest.mark.parametrize("layout", ["spair", "pfpascal", "ap10k", "navi"])
def test_pairs_are_counted_as_they_are_read(
    layout: str, tmp_path: Path, write_point_pairs: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_point_pairs(layout, tmp_path / layout)
    with_counts(monkeypatch, layout, counts={})
    found = check_fetched(layout, root)
    assert set(found) == {"pairs"} and found["pairs"] > 0
    with_counts(monkeypatch, layout, counts=found)
    assert check_fetched(layout, root) == found


def test_an_incomplete_set_says_what_it_lacks(tmp_path: Path, write_point_pairs: Write) -> None:
    root = write_point_pairs("spair", tmp_path / "spair")
    with pytest.raises(ValueError, match=r"spair holds \d+ pairs, published are 12,234 pairs; fet"):
        check_fetched("spair", root)


def test_videos_and_masks_are_counted(
    tmp_path: Path, write_davis: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_counts(monkeypatch, "davis2017", counts={})
    write_davis(tmp_path / "davis2017")
    assert check_fetched("davis2017", tmp_path / "davis2017")["videos"] > 0
    root = tmp_path / "ade20k" / "ADEChallengeData2016"  # as the archive unpacks
    for number, part in enumerate(("training", "validation")):
        for kind, ending, shape in (("images", "jpg", (4, 4, 3)), ("annotations", "png", (4, 4))):
            file = root / kind / part / f"a.{ending}"
            file.parent.mkdir(parents=True)
            Image.fromarray(np.full(shape, 90 + 50 * number, np.uint8)).save(file)
    with pytest.raises(ValueError, match="1 train images, 1 val images, published are 20,210"):
        check_fetched("ade20k", tmp_path / "ade20k")


def test_a_broken_archive_is_named_before_its_content_is_read(tmp_path: Path) -> None:
    archive = tmp_path / next(iter(FETCHED["voc"].md5))
    archive.write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"has the MD5 \w+, the published one 6cd6e144\w+: fetch"):
        check_fetched("voc", tmp_path / "voc")


def test_the_command_says_it_in_one_line(
    tmp_path: Path,
    write_davis: Callable[..., Path],
    run_tool: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_tool("prepare_data", "davis2017", "--out", tmp_path) == 2
    assert "fetch DAVIS-2017-trainval-480p.zip from https://davis" in capsys.readouterr().err
    root = write_davis(tmp_path / "davis2017")
    with_counts(monkeypatch, "davis2017", counts={})
    found = check_fetched("davis2017", root)
    with_counts(monkeypatch, "davis2017", counts=found)
    assert run_tool("prepare_data", "davis2017", "--out", tmp_path) == 0
    expected = f"davis2017: {root}: {found['videos']} videos, as published; for evaluate: --data "
    assert expected + f"davis2017:{root}" in capsys.readouterr().out


def test_a_mirror_that_nothing_is_taken_from_is_refused(
    tmp_path: Path, run_tool: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["davis2017", "spair", "--mirror", tmp_path, "--out", tmp_path / "data"]
    assert run_tool("prepare_data", *words) == 2
    message = "nothing is taken from it, as davis2017, spair must be fetched by you"
    assert message in capsys.readouterr().err
