"""Dense structure of the checkpoints of one run: what was measured of each, kept on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pretrain.files import atomic_path, atomic_write
from pretrain.hooks.dense_structure import Structure

COURSE = "dense_structure.jsonl"  # how it was measured, then a line per checkpoint
RANDOM = "random weights"  # what the course says a run began with that loaded none
START_CELLS = "dense_structure_start.pth"


@dataclass(frozen=True, kw_only=True)
class Look(Structure):
    """One checkpoint, as measured without labels: the parts of DSE, and what goes with them.

    Attributes:
        step: optimiser steps done; 0 is the network as the run began.
        samples: images seen by then.
        cosine: mean cosine of cells to what they were at the start; None where that is not known.
        drift: how far they have gone on the way to unrelated cells of the start, see
            :func:`pretrain.hooks.structure_advice.drift_share`; None likewise.
        loss: its mean over the steps since the look before; None at the start.
        shares: class part and dimension on each of several shares of the images, which tell what
            another choice of images would have changed.
    """

    step: int
    samples: int
    cosine: float | None
    drift: float | None
    loss: float | None
    shares: tuple[tuple[float, float], ...] = ()


def write_course(folder: str | Path, facts: Mapping[str, Any], looks: Sequence[Look]) -> None:
    """Writes the course as a whole; a crash leaves the old one.

    Args:
        folder: of the run. facts: how all of it was measured. looks: in their order.
    """
    lines = [json.dumps(dict(facts))]
    lines += [json.dumps(asdict(look)) for look in looks]
    atomic_write(Path(folder) / COURSE, "\n".join(lines) + "\n")


def read_course(folder: str | Path) -> tuple[dict[str, Any], list[Look]]:
    """Returns what :func:`write_course` wrote; empty where nothing was.

    Raises:
        ValueError: the file is damaged.
    """
    path = Path(folder) / COURSE
    if not path.is_file():
        return {}, []
    try:
        facts, *rows = [json.loads(line) for line in path.read_text().splitlines()]
        looks = []
        for row in rows:
            shares = tuple(map(tuple, row.pop("shares")))
            looks.append(Look(**row, shares=shares))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: is damaged ({error}); remove it") from error
    return facts, looks


def write_start_cells(folder: str | Path, cells: Tensor) -> None:
    """Keeps the drawn cells (n, D) of the network as the run began."""
    with atomic_path(Path(folder) / START_CELLS) as temporary:
        torch.save(cells, temporary)


def read_start_cells(folder: str | Path) -> Tensor | None:
    """Returns the cells that :func:`write_start_cells` kept, None where there are none."""
    path = Path(folder) / START_CELLS
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
