"""Images in class folders, with a train and a validation part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.base import LabelledData
from benchmarks.data.class_parts import capped, drawn, given, labels_of, listed
from benchmarks.data.domains import domain_folder
from benchmarks.data.layouts import LAYOUTS
from benchmarks.data.loading import CACHE_BYTES, centre_crop, file_size, fingerprint, ordered_map
from benchmarks.data.parts import check_parts
from pretrain.data.decode import decode_file
from pretrain.data.folders import expanded, quoted
from pretrain.data.sources import FilesBelow


class ClassSplit:
    """One part of a class folder; ``labels`` is (n,) int64."""

    def __init__(
        self, source: FilesBelow, ids: np.ndarray, *, labels: np.ndarray, root: Path
    ) -> None:
        self._source, self._ids, self._root = source, ids, root
        self.labels = torch.from_numpy(labels)
        names = [str(path.relative_to(root)) for path in self.files]
        rows = zip(names, map(file_size, self.files), strict=True)
        self.fingerprint = fingerprint(sorted(rows))
        self._cache: dict[tuple[int, float, int], dict[int, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def files(self) -> list[Path]:
        """The image files, in order."""
        return list(map(Path, map(self.name, range(len(self)))))

    def name(self, index: int) -> str:
        """Path of an image, for messages."""
        return self._source.name(int(self._ids[index]))

    def key(self, index: int) -> str:
        """Path of an image below the root, with forward slashes: the same wherever data lies."""
        return Path(self.name(index)).relative_to(self._root).as_posix()

    def batches(
        self,
        size: int,
        batch_size: int,
        *,
        crop_fraction: float,
        resample: Image.Resampling = Image.Resampling.BILINEAR,
    ) -> Iterator[tuple[Tensor, list[int]]]:
        """Yields (images (B, 3, size, size) uint8, indices) in order.

        Args:
            size: Side of the square in pixels.
            batch_size: B.
            crop_fraction: The shorter side is resized to ``size / crop_fraction`` before the
                central square is cut.
            resample: how it is resized.

        Raises:
            ValueError: an image cannot be read; names the file.
        """
        window: list[np.ndarray] = []
        start = 0

        def square(index: int) -> np.ndarray:
            return self.image(index, size, crop_fraction, resample=resample)

        for image in ordered_map(square, range(len(self)), 2 * batch_size):
            window.append(image)
            if len(window) == batch_size or start + len(window) == len(self):
                images = torch.from_numpy(np.stack(window)).permute(0, 3, 1, 2)
                yield images, list(range(start, start + len(window)))
                start, window = start + len(window), []

    def image(
        self,
        index: int,
        size: int,
        fraction: float,
        *,
        resample: Image.Resampling = Image.Resampling.BILINEAR,
    ) -> np.ndarray:
        """One image as in :meth:`batches`: (size, size, 3) uint8, not to be written to (small sets
        stay in memory).
        """
        cache = self._cache.setdefault((size, fraction, int(resample)), {})
        if index in cache:
            return cache[index]
        image = centre_crop(decode_file(self.name(index)), size, fraction, resample=resample)
        if len(self) * size * size * 3 <= CACHE_BYTES:
            cache[index] = image
        return image


class ClassFolder(LabelledData):
    """Class folders, split by folders ``train`` and ``val`` below the root or, where these are
    missing, by lot.

    Args:
        root: Holds ``train/<class>/…`` and ``val/<class>/…``, or ``<class>/…``.
        train: Name of the train folder.
        val: Name of the validation folder.
        held_back: Share of every class that becomes the validation part when there are no such
            folders (rounded, at least one image, and at least one stays).
        seed: Of that draw, and of that of ``cap``.
        domain: One folder of several with the same classes, see :mod:`benchmarks.data.domains`; its
            lists say what the parts are, where there are any.
        cap: (train, val) images of each part at most, drawn by lot; None: all. More of the same
            seed contain fewer.
        every: (train, val) take every n-th image of each part, of what ``cap`` left.
        allow_shared: Accept images that lie in both parts; the protocol then counts them
            (``shared_images``).

    Raises:
        ValueError: ``every`` or ``cap`` below 1, no such domain, not two classes, parts of a data
            set under other names than ``train`` and ``val`` at the place of the classes, classes of
            ``val`` that ``train`` lacks, a class of one image to be split, or parts that share
            images.
    """

    labels, word = "class_folders", "class folder"

    def __init__(
        self,
        root: str | Path,
        *,
        train: str = "train",
        val: str = "val",
        held_back: float = 0.2,
        seed: int = 0,
        domain: str | None = None,
        cap: tuple[int | None, int | None] = (None, None),
        every: tuple[int, int] = (1, 1),
        allow_shared: bool = False,
    ) -> None:
        if min(every) < 1:
            raise ValueError(f"every={every} must be two numbers of at least 1 (train, val)")
        self.root = expanded(root)
        folder = self.root if domain is None else domain_folder(self.root, domain)
        parts = None if domain is None else listed(self.root, domain)
        parts = parts or given(folder, train, val) or drawn(folder, held_back, seed)
        self.class_names = parts.sources[0].classes
        self._settings = dict(every=list(every)) | parts.settings
        if domain is not None:
            self._settings |= dict(domain=domain)
        if tuple(cap) != (None, None):
            self._settings |= dict(cap=list(cap), cap_seed=seed)
        splits = []
        for part, (source, step) in enumerate(zip(parts.sources, every, strict=True)):
            ids = capped(parts.ids[part], cap[part], seed=seed, part=part)[::step]
            labels = labels_of(source, self.class_names)[ids]
            splits.append(ClassSplit(source, ids, labels=labels, root=self.root))
        self.train, self.val = splits
        self._settings |= check_parts(
            self.train.files, self.val.files, allow_shared=allow_shared, cure=parts.cure
        )
        self._warn_of_classes(dict(every=every[0], cap=cap[0]))

    @classmethod
    def arguments(cls, layout: str, root: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """See :class:`LabelledData`; options beside class folders of a larger data set are those of
        its masks and depth maps.
        """
        folder = LAYOUTS[layout].class_folders
        if folder is None or (folder and options):
            return None
        # Without a domain its folders would pass for classes.
        needed = dict(domain="") if LAYOUTS[layout].listing else {}
        return dict(root=str(Path(root) / folder) if folder else root) | needed | dict(options)

    @classmethod
    def wanted(cls) -> str:
        """See :class:`LabelledData`."""
        return (
            "folder 'classes:ROOT' (or scenes:ROOT without options; with them write "
            "classes:ROOT/crops?…)"
        )

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return self.val.files

    def picture(self, index: int, settings: Any) -> np.ndarray:
        """See :class:`LabelledData`; ``settings`` hold ``size``, the side of the square, and
        ``crop_fraction``.
        """
        image = decode_file(self.scored_files[index])
        return centre_crop(image, settings.size, settings.crop_fraction)

    def _warn_of_classes(self, fewer: Mapping[str, int | None]) -> None:
        """Warns of classes of which ``fewer`` images, by ``every`` and ``cap``, leave none to train
        on: no image can be of them.
        """
        left = set(self.train.labels.tolist())
        gone = [name for number, name in enumerate(self.class_names) if number not in left]
        if gone:
            given = ", ".join(f"{key}={value}" for key, value in fewer.items() if value is not None)
            warnings.warn(
                f"{self.root}: {len(gone)} of {self.classes} classes have no train image with "
                f"{given}: {quoted(gone)}; their val images count as wrong",
                stacklevel=3,
            )

    @property
    def classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        return dict(
            **self._settings,
            classes=self.classes,
            train_images=len(self.train),
            val_images=len(self.val),
            train_content=self.train.fingerprint,
            val_content=self.val.fingerprint,
        )
