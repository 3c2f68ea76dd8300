"""Frozen features without what gives their place away, as an option of every benchmark of maps.

``without_place=black:20`` in the spec of a network takes away the directions in which the cells of
a black image differ, as INSID3 does; ``without_place=FILE`` the planes in which linear predictors
read row and column, as RASA does, fitted by ``pixelpretext fit-place``. A removal takes content
with it that goes with place (the sky is up); what it costs or brings, the benchmark says, run with
and without it.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.core.memory import available_bytes
from benchmarks.core.place import BlackBasis, coordinates, plane_of, remove
from benchmarks.data.pairs import PairSplit
from pretrain.files import atomic_path
from pretrain.progress import Progress
from pretrain.random_state import undisturbed_random

_BLACK = re.compile(r"black:(\d+)")
_MEMORY_SHARE = 0.5  # of what is free: features kept there are not encoded once per epoch
_AT_ONCE = 16  # images


class Network(Protocol):
    """What is read of a network, without a removal or an upsampler."""

    fingerprint: str

    def encode(self, images: Tensor) -> Tensor:
        """(B, D, h, w) of images (B, 3, H, W) uint8."""


class Removal(Protocol):
    """What takes place out of maps.

    Attributes:
        spec: that makes it again for any network; None where it is of one network.
    """

    spec: str | None

    def bind(self, network: Network) -> Removal:
        """A copy for one measurement of this network.

        Raises:
            ValueError: it was made for another network.
        """

    def clean(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (B, D, h, w) of images of ``size`` (H, W) without place.

        Raises:
            ValueError: maps that it cannot clean.
        """

    def describe(self) -> dict[str, Any]:
        """Plain values for ``Record.subject``."""


class BlackImage:
    """Takes away the directions in which the cells of a black image differ; what is left has length
    1. They belong to one input size: that of the first images, and no other is cleaned after it.

    Args:
        directions: K, the strongest ones.

    Raises:
        ValueError: fewer than one.
    """

    def __init__(self, directions: int) -> None:
        if directions < 1:
            raise ValueError(f"without_place=black:{directions}: at least 1 direction is needed")
        self.directions, self.spec = directions, f"black:{directions}"
        self._network: Network | None = None
        self._size: tuple[int, int] | None = None

    def bind(self, network: Network) -> BlackImage:
        """See :class:`Removal`."""
        bound = BlackImage(self.directions)
        bound._network = network
        return bound

    def clean(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """See :class:`Removal`; refuses images of another size than the first ones."""
        if self._size is None:
            black = torch.zeros(1, 3, *size, dtype=torch.uint8)
            self._basis = BlackBasis.of(self._network.encode(black), self.directions)
            self._size = size
        if size != self._size:
            raise ValueError(
                f"images of {size[0]} x {size[1]} pixels: without_place={self.spec} "
                f"belongs to {self._size[0]} x {self._size[1]}, since places of another size are "
                "other directions; show images of one size, or leave without_place out"
            )
        return self._basis.clean(maps)

    def describe(self) -> dict[str, Any]:
        """See :class:`Removal`."""
        return dict(kind="black", directions=self.directions)


class Planes:
    """Takes away orthonormal directions; lengths are not restored.

    Args:
        directions: (D, k).
        network: fingerprint of the network whose features they were fitted to.
        fitted: how, plain values.
    """

    spec = None

    def __init__(self, directions: Tensor, *, network: str, fitted: dict[str, Any]) -> None:
        self.directions, self.network, self.fitted = directions, network, fitted

    @classmethod
    def load(cls, path: str | Path) -> Planes:
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: another file.
            FileNotFoundError: no such file.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)["place"]
            return cls(content["directions"], network=content["network"], fitted=content["fitted"])
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"without_place={str(path)!r}: no such file; write black:K, as in black:20, or the "
                "file that pixelpretext fit-place wrote"
            ) from error
        except Exception as error:
            raise ValueError(
                f"without_place={str(path)!r}: not a file of pixelpretext fit-place "
                f"({type(error).__name__})"
            ) from error

    def save(self, path: str | Path) -> None:
        """Writes a file, whole or not at all."""
        content = dict(directions=self.directions, network=self.network, fitted=self.fitted)
        with atomic_path(path) as temporary:
            torch.save(dict(place=content), temporary)

    def bind(self, network: Network) -> Planes:
        """See :class:`Removal`."""
        if network.fingerprint != self.network:
            raise ValueError(
                f"without_place: its planes were fitted to the network {self.network}, this one is "
                f"{network.fingerprint}; fit them anew with pixelpretext fit-place"
            )
        return copy.copy(self)

    def clean(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """See :class:`Removal`; any size is cleaned."""
        if maps.shape[1] != len(self.directions):
            raise ValueError(
                f"without_place: its planes were fitted to maps of {len(self.directions)} "
                f"channels, these have {maps.shape[1]}; fit them to the features that are read"
            )
        return remove(maps.movedim(1, -1), self.directions.to(maps)).movedim(-1, 1)

    def describe(self) -> dict[str, Any]:
        """See :class:`Removal`."""
        digest = hashlib.sha256(self.directions.float().numpy().tobytes()).hexdigest()[:12]
        return dict(kind="planes", directions=self.directions.shape[1], hash=digest, **self.fitted)


def load_removal(spec: str) -> Removal:
    """What ``without_place=`` names: ``black:K`` or a file.

    Raises:
        ValueError, FileNotFoundError: neither.
    """
    black = _BLACK.fullmatch(str(spec))
    return BlackImage(int(black[1])) if black else Planes.load(spec)


@dataclass(frozen=True)
class FitSettings:
    """How the planes are fitted; RASA's values where it says them."""

    size: tuple[int, int] = (518, 518)  # (H, W) input in pixels
    rounds: int = 9  # planes, one after the other
    epochs: int = 5  # per plane
    batch_size: int = 128  # images per step
    learning_rate: float = 2e-4  # of AdamW
    weight_decay: float = 0.01  # torch's; the source leaves it there
    seed: int = 0  # of the first weights and the order of the images

    def __post_init__(self) -> None:
        for name in ("rounds", "epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size} must be (height, width) in pixels")


def fit_planes(
    network: Network,
    images: PairSplit,
    settings: FitSettings,
    *,
    described: dict[str, Any],
    progress: Progress | None = None,
) -> Planes:
    """Fits planes one after the other, each on what the earlier ones leave.

    A linear map without bias reads a cell's coordinates, 0 at the first and 1 at the last row and
    column, through a sigmoid; mean squared error. Its two weights, the second made orthogonal to
    the first, are the plane.

    Args:
        network: whose features are read.
        images: that are shown; their labels are not read.
        settings: how.
        described: the data, for :meth:`Planes.describe`.
        progress: called with (phase, steps done, steps in all).
    """
    features = _Features(network, images, settings)
    directions = torch.zeros(features.channels, 0)
    steps, done = features.steps * settings.epochs * settings.rounds, count(1)
    for number in range(settings.rounds):
        reader = _Reader(features.channels, settings, number=number, device=features.device)
        for cells, places in features.epochs(number):
            reader.step(remove(cells, directions.to(cells)), places)
            if progress:
                progress("fit", next(done), steps)
        # Those before are orthonormal already and stay as they are.
        stacked = torch.cat([directions, reader.weight.cpu()], 1).double()
        directions = plane_of(stacked).float()
    fitted = asdict(settings) | dict(size=list(settings.size), data=described)
    return Planes(directions, network=network.fingerprint, fitted=fitted)


class _Reader:
    """A linear map without bias from cells to their coordinates, through a sigmoid."""

    def __init__(
        self, channels: int, settings: FitSettings, *, number: int, device: torch.device
    ) -> None:
        with undisturbed_random():
            torch.manual_seed(settings.seed + number)
            self._linear = nn.Linear(channels, 2, bias=False).to(device)
        self._optimiser = torch.optim.AdamW(
            self._linear.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, cells: Tensor, places: Tensor) -> None:
        """One step on cells (B, P, D) of coordinates (P, 2)."""
        predicted = self._linear(cells).sigmoid()
        self._optimiser.zero_grad()
        F.mse_loss(predicted, places.expand_as(predicted)).backward()
        self._optimiser.step()

    @property
    def weight(self) -> Tensor:
        """(D, 2)."""
        return self._linear.weight.detach().T


class _Features:
    """Features of images, kept where memory suffices, else encoded once per epoch."""

    def __init__(self, network: Network, images: PairSplit, settings: FitSettings) -> None:
        self._network, self._images, self._settings = network, images, settings
        first = network.encode(images.take([0], settings.size).images)
        self.channels, self.device = first.shape[1], first.device
        self._places = coordinates(tuple(first.shape[2:])).float().to(self.device)
        needed = len(images) * first.numel() * first.element_size()
        self._keeps = needed < _MEMORY_SHARE * available_bytes("cpu")
        self._kept: dict[int, Tensor] = {}

    @property
    def steps(self) -> int:
        """Per epoch."""
        return -(-len(self._images) // self._settings.batch_size)

    def epochs(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields cells (B, P, D) and their coordinates (P, 2) for the plane of this number, each
        epoch in an order of its own.
        """
        order = torch.Generator().manual_seed(self._settings.seed + number)
        for _ in range(self._settings.epochs):
            shuffled = torch.randperm(len(self._images), generator=order)
            for batch in shuffled.split(self._settings.batch_size):
                maps = self._maps(batch.tolist()).to(self.device)
                yield maps.flatten(2).transpose(1, 2), self._places

    def _maps(self, indices: list[int]) -> Tensor:
        """(B, D, h, w) of images."""
        lacking = [index for index in indices if index not in self._kept]
        encoded: dict[int, Tensor] = {}
        for start in range(0, len(lacking), _AT_ONCE):
            part = lacking[start : start + _AT_ONCE]
            maps = self._network.encode(self._images.take(part, self._settings.size).images)
            encoded |= dict(zip(part, maps.cpu(), strict=True))
        if self._keeps:
            self._kept |= encoded
        known = self._kept | encoded
        return torch.stack([known[index] for index in indices])
