"""The data set of views: (epoch, index) -> each shot decoded once, cropped and resized as the
recipe says.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from pretrain.data.decode import DecodeError, decode, probe
from pretrain.data.sampler import REPLACEMENT, SAMPLE, stream
from pretrain.data.shots import (
    Part,
    PixelBox,
    Recipe,
    Shot,
    check_size,
    deal_views,
    join_views,
    shots_of,
)
from pretrain.data.sources import Source
from pretrain.structures import Batch, Views

# : Tries for a readable substitute. At 50 % unreadable files all of them fail once in a million
# samples.
MAX_REPLACEMENTS = 20


class UnreadableData(ValueError):
    """So many files in a row were unreadable that no substitute was found."""


class _Unreadable(Exception):
    """A shot cannot be read or decoded; the message names it and says why, ``number`` is the
    shot's.
    """

    def __init__(self, message: str, number: int | None) -> None:
        super().__init__(message)
        self.number = number


class ViewDataset(Dataset):
    """Maps (epoch, index) to one sample: a Batch without the axis B.

    A sample depends on the seed, the epoch and the index only, not on workers, processes or what
    came before. A file that cannot be read or decoded is replaced by another image, drawn from a
    random stream of the same key, and listed in ``Batch.skipped`` by its number (see
    ``Shot.number``) with the reason; ``ids`` and ``labels`` are those of the image really shown.

    View v of a group is cut from shot v mod the number of shots (see ``pretrain.data.shots``; most
    sources have one, the whole image). Crops are drawn in the size of the shot's region, whose unit
    square their geometry refers to.

    Args:
        source: Where the bytes come from.
        recipe: Which views are made of an image.
        seed: At least 0, below 2^63.
        photometrics: "device" leaves colour and blur to the preprocessor; "workers" applies them
            here with OpenCV and clears ``Views.photometric``.

    Raises:
        ValueError: ``photometrics`` is unknown.
    """

    def __init__(
        self, source: Source, recipe: Recipe, *, seed: int = 0, photometrics: str = "device"
    ) -> None:
        if photometrics not in ("device", "workers"):
            raise ValueError(
                f"loader.photometrics={photometrics!r}; legal are 'device' and 'workers'"
            )
        self.source = source
        self.recipe = recipe
        self.seed = seed
        self.photometrics = photometrics
        self._parts: dict[int, tuple[Part, ...]] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Makes the sample of (epoch, index).

        Raises:
            UnreadableData: :data:`MAX_REPLACEMENTS` substitutes were unreadable, too.
        """
        epoch, index = key
        skipped: list[tuple[int, str]] = []
        for candidate in self._candidates(epoch, index):
            try:
                views = self._views(
                    candidate, np.random.Generator(stream(self.seed, SAMPLE, epoch, index))
                )
            except _Unreadable as error:
                skipped.append((candidate if error.number is None else error.number, str(error)))
                continue
            label = self.source.label(candidate)
            return Batch(
                views=views,
                labels=None if label is None else torch.tensor(label),
                ids=torch.tensor(candidate),
                skipped=tuple(skipped),
            )
        raise UnreadableData(
            f"{len(skipped)} images in a row cannot be read "
            f"({'; '.join(reason for _, reason in skipped[:3])}). Check that the source points "
            "to intact image files"
        )

    def _candidates(self, epoch: int, index: int) -> Iterator[int]:
        """The image asked for, then substitutes in a fixed random order, none twice."""
        yield index
        tried = {index}
        for raw in (
            stream(self.seed, REPLACEMENT, epoch, index).random_raw(MAX_REPLACEMENTS).tolist()
        ):
            substitute = raw % len(
                self.source
            )  # 64 random bits: the bias of the modulus is below 1e-12
            if substitute not in tried:
                tried.add(substitute)
                yield substitute

    def _views(self, index: int, rng: np.random.Generator) -> dict[str, Views]:
        """Cuts the views of sample ``index``, each from its shot."""
        shots = shots_of(self.source, index, rng)
        if len(shots) not in self._parts:
            self._parts[len(shots)] = deal_views(self.recipe, len(shots))
        parts = self._parts[len(shots)]
        return join_views(parts, [self._cut(shots[part.shot], part.recipe, rng) for part in parts])

    def _cut(self, shot: Shot, recipe: Recipe, rng: np.random.Generator) -> dict[str, Views]:
        """Decodes a shot once, no larger than its crops need, and cuts the views of ``recipe`` from
        its region.
        """
        try:
            data = shot.read()
            size = probe(data)
            if shot.size is not None:
                check_size(shot.size, size)
            region = PixelBox.of(shot.box, size)
            plan = recipe.plan(region.height, region.width, rng)
            image, shift = region.cut(decode(data, region.decode_size(plan.min_decode_size)))
        except (DecodeError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise _Unreadable(f"{shot.name}: {reason}", shot.number) from error
        views = recipe.render(image, plan, photometrics=self.photometrics == "workers")
        for group in views.values() if any(shift) else ():
            group.geometry[..., 2] += torch.tensor(shift, dtype=group.geometry.dtype)
        return views


def limit_threads(worker_id: int) -> None:
    """``worker_init_fn`` for data loaders: one thread per worker, or OpenCV starts one per core in
    each of them.
    """
    del worker_id
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
