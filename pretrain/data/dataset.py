"""The data set of views: (epoch, index) -> each source image decoded once, cropped and resized as
the recipe says.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from pretrain.data.dealing import Share, deal_views, join_views
from pretrain.data.decode import DecodeError, decode, probe
from pretrain.data.pixel_box import PixelBox
from pretrain.data.sampler import REPLACEMENT, SAMPLE, stream
from pretrain.data.source_image import SourceImage, check_size, source_images_of
from pretrain.data.sources import Source
from pretrain.names import check_choice
from pretrain.structures import Batch, Views
from pretrain.views.recipe import ViewRecipe

#: Tries for a readable substitute. At 50 % unreadable files all of them fail once in a million
#: samples.
MAX_REPLACEMENTS = 20


class UnreadableData(ValueError):
    """So many files in a row were unreadable that no substitute was found."""


class _Unreadable(Exception):
    """A source image cannot be read or decoded; the message names it and says why, ``number`` is
    the image's.
    """

    def __init__(self, message: str, number: int | None) -> None:
        super().__init__(message)
        self.number = number


class ViewDataset(Dataset):
    """Maps (epoch, index) to one sample: a Batch without the axis B.

    A sample depends on the seed, the epoch and the index only, not on workers, processes or what
    came before. A file that cannot be read or decoded is replaced by another image, drawn from a
    random stream of the same key, and listed in ``Batch.skipped`` by its number (see
    ``SourceImage.number``) with the reason; ``ids`` and ``labels`` are those of the image really
    shown.

    View v of a group is cut from source image v mod their number (see
    ``pretrain.data.source_image``; most sources have one per sample, the whole image). Crops are
    drawn in the size of its region, whose unit square their geometry refers to.

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
        self, source: Source, recipe: ViewRecipe, *, seed: int = 0, photometrics: str = "device"
    ) -> None:
        check_choice("loader.photometrics", photometrics, ("device", "workers"))
        self.source = source
        self.recipe = recipe
        self.seed = seed
        self.photometrics = photometrics
        self._shares: dict[int, tuple[Share, ...]] = {}  # by the number of source images

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
        draws = stream(self.seed, REPLACEMENT, epoch, index).random_raw(MAX_REPLACEMENTS)
        for raw in draws.tolist():
            # 64 random bits: the bias of the modulus is below 1e-12
            substitute = raw % len(self.source)
            if substitute not in tried:
                tried.add(substitute)
                yield substitute

    def _views(self, index: int, rng: np.random.Generator) -> dict[str, Views]:
        """Cuts the views of sample ``index``, each from its source image."""
        images = source_images_of(self.source, index, rng)
        if len(images) not in self._shares:
            self._shares[len(images)] = deal_views(self.recipe, len(images))
        shares = self._shares[len(images)]
        rendered = [self._cut(images[share.image], share.recipe, rng) for share in shares]
        return join_views(shares, rendered)

    def _cut(
        self, image: SourceImage, recipe: ViewRecipe, rng: np.random.Generator
    ) -> dict[str, Views]:
        """Decodes a source image once, no larger than its crops need, and cuts the views of
        ``recipe`` from its region.
        """
        try:
            data = image.read()
            size = probe(data)
            if image.size is not None:
                check_size(image.size, size)
            region = PixelBox.of(image.box, size)
            plan = recipe.plan(region.height, region.width, rng)
            pixels, shift = region.cut(decode(data, region.decode_size(plan.min_decode_size)))
        except (DecodeError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise _Unreadable(f"{image.name}: {reason}", image.number) from error
        views = recipe.render(pixels, plan, photometrics=self.photometrics == "workers")
        if not any(shift):
            return views
        return {name: group.moved(*shift) for name, group in views.items()}


def limit_threads(worker_id: int) -> None:
    """``worker_init_fn`` for data loaders: one thread per worker, or OpenCV starts one per core in
    each of them.
    """
    del worker_id
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
