"""The course on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pretrain.hooks.structure_course import (
    COURSE,
    Look,
    read_course,
    read_start_cells,
    write_course,
    write_start_cells,
)

START = Look(
    inter=0.5, intra=0.25, dimension=7.0, step=0, samples=0, cosine=1.0, drift=0.0, loss=None
)
LATER = Look(
    inter=0.1 + 0.2,
    intra=1 / 3,
    dimension=6.5,
    step=3,
    samples=12,
    cosine=None,
    drift=None,
    loss=-1.5,
    shares=((0.1, 5.0), (0.2, 6.0)),
)


def test_what_was_written_is_read_to_the_last_digit(tmp_path: Path) -> None:
    facts = dict(images=8, size=[32, 48])
    write_course(tmp_path, facts, [START, LATER])
    assert read_course(tmp_path) == (facts, [START, LATER])
    assert LATER.class_part == LATER.inter - LATER.intra


def test_nothing_is_known_of_a_fresh_folder(tmp_path: Path) -> None:
    assert read_course(tmp_path) == ({}, []) and read_start_cells(tmp_path) is None


@pytest.mark.parametrize("line", ["{", "[1]", '{"step": 1}', '{"shares": 3}', "null"])
def test_a_damaged_file_is_named(tmp_path: Path, line: str) -> None:
    write_course(tmp_path, {}, [START])
    with open(tmp_path / COURSE, "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=rf"{COURSE}: is damaged .*; remove it"):
        read_course(tmp_path)


def test_cells_of_the_start_are_kept(tmp_path: Path) -> None:
    cells = torch.arange(6.0).view(2, 3)
    write_start_cells(tmp_path, cells)
    assert torch.equal(read_start_cells(tmp_path), cells)
