"""Images in class folders, with a train and a validation part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.base import LabelledData
from benchmarks.data.layouts import LAYOUTS
from benchmarks.data.loading import CACHE_BYTES, centre_crop, file_size, fingerprint, ordered_map
from benchmarks.data.parts import check_parts
from pretrain.data.decode import decode_file
from pretrain.data.folders import PartsError, expanded, quoted, visible
from pretrain.data.sources import ImageFolder


class ClassSplit:
    """One part of a class folder; ``labels`` is (n,) int64."""

    def __init__(
        self, source: ImageFolder, ids: np.ndarray, *, labels: np.ndarray, root: Path
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
        seed: Of that draw.
        every: (train, val) take every n-th image of each part.
        allow_shared: Accept images that lie in both parts; the protocol then counts them
            (``shared_images``).

    Raises:
        ValueError: ``every`` below 1, not two classes, parts of a data set under other names than
            ``train`` and ``val`` at the place of the classes, classes of ``val`` that ``train``
            lacks, a class of one image to be split, or parts that share images.
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
        every: tuple[int, int] = (1, 1),
        allow_shared: bool = False,
    ) -> None:
        if min(every) < 1:
            raise ValueError(f"every={every} must be two numbers of at least 1 (train, val)")
        self.root = expanded(root)
        self._settings: dict[str, Any] = dict(every=list(every))
        folders = find_parts(self.root, train, val)
        if folders:
            sources = list(map(labelled_folder, folders))
            self.class_names = sources[0].classes
            foreign = sorted(set(sources[1].classes) - set(self.class_names))
            if foreign:
                raise ValueError(f"{folders[1]} has classes that {folders[0]} lacks: {foreign[:5]}")
            ids = [np.arange(len(source)) for source in sources]
            self._settings |= dict(train=train, val=val)
            cure = "move the copies out of one of them, or name other folders by train=, val="
        else:
            source = labelled_folder(self.root)
            sources, self.class_names = [source, source], source.classes
            labels = _labels(source, self.class_names)
            ids = list(stratified_split(labels, held_back, seed, names=self.class_names))
            self._settings |= dict(held_back=held_back, split_seed=seed)
            cure = (
                "the parts are drawn at random from one folder, so delete all but one of each "
                "image's copies in it"
            )
        splits = []
        for source, chosen, step in zip(sources, ids, every, strict=True):
            labels = _labels(source, self.class_names)[chosen[::step]]
            splits.append(ClassSplit(source, chosen[::step], labels=labels, root=self.root))
        self.train, self.val = splits
        self._settings |= check_parts(
            self.train.files, self.val.files, allow_shared=allow_shared, cure=cure
        )
        self._warn_of_classes(every[0])

    @classmethod
    def arguments(cls, layout: str, root: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """See :class:`LabelledData`; options beside class folders of a larger data set are those of
        its masks and depth maps.
        """
        folder = LAYOUTS[layout].class_folders
        if folder is None or (folder and options):
            return None
        return dict(root=str(Path(root) / folder) if folder else root) | dict(options)

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

    def _warn_of_classes(self, step: int) -> None:
        """Warns of classes of which every n-th train image leaves none: no image can be of them."""
        left = set(self.train.labels.tolist())
        gone = [name for number, name in enumerate(self.class_names) if number not in left]
        if gone:
            warnings.warn(
                f"{self.root}: {len(gone)} of {self.classes} classes have no train image with "
                f"every={step}: {quoted(gone)}; their val images count as wrong",
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


def stratified_split(
    labels: np.ndarray,
    held_back: float,
    seed: int,
    *,
    names: Sequence[str] = (),
    cure: str = "split the data yourself into the folders train and val",
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a share of each class.

    Args:
        labels: (n,) int64.
        held_back: Share in (0, 1), rounded per class, at least one image, at most all but one.
        seed: Of the draw; a class's draw depends on the seed, its number and its size only.
        names: Of the classes, for messages; empty: they are called by their numbers.
        cure: For messages: what else than another image helps a class of one image.

    Returns:
        (kept, held back), ascending indices.

    Raises:
        ValueError: the share is not in (0, 1), or a class has a single image.
    """
    if not 0 < held_back < 1:
        raise ValueError(f"held_back={held_back} must lie between 0 and 1, both excluded")
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            name = repr(names[label]) if len(names) else str(label)
            raise ValueError(
                f"class {name} has one image, of which no share can be held back: remove the "
                f"class, give it a second image, or {cure}"
            )
        count = min(max(1, round(held_back * len(members))), len(members) - 1)
        chosen.append(np.random.default_rng([seed, int(label)]).permutation(members)[:count])
    held = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), held), held


def find_parts(root: Path, train: str = "train", val: str = "val") -> tuple[Path, Path] | None:
    """Returns the folders of the train and the validation part; None where neither has been asked
    for by another name than the usual one and they are not both there: then ``root`` is expected to
    hold the classes themselves.

    Raises:
        ValueError: a part that was asked for by name is missing; names the folders that are there.
    """
    parts = root / train, root / val
    missing = [part.name for part in parts if not part.is_dir()]
    if not missing:
        return parts
    if (train, val) != ("train", "val"):
        inside = visible(root.iterdir()) if root.is_dir() else []
        folders = [path.name for path in inside if path.is_dir()]
        raise ValueError(
            f"{root} has no folder {quoted(missing)} (train={train!r}, val={val!r}); it holds "
            f"{quoted(folders) or 'no folder'}"
        )
    return None


def labelled_folder(root: Path) -> ImageFolder:
    """Reads the class folders of one part.

    Raises:
        ValueError: there are none, or what lies at their place are parts of a data set; says what
            to do.
    """
    try:
        source = ImageFolder(root)
    except PartsError as error:
        raise ValueError(_advice(error)) from error
    if source.classes is None:
        raise ValueError(
            f"{root} has no class folders, two or more <class>/<image>: {source.unlabelled}"
        )
    return source


def _advice(error: PartsError) -> str:
    """Says how folders that are parts should be called to be taken for such."""
    usual = [name for name in ("train", "val") if name in error.parts]
    lack = (
        f"has a folder {usual[0]!r} but no {'val' if usual == ['train'] else 'train'!r}"
        if usual
        else "has parts"
    )
    train = next((part for part in error.parts if part.lower().startswith("train")), error.parts[0])
    val = next((part for part in error.parts if part != train), "val")
    return (
        f"{error.root} {lack}: {quoted(error.parts)} are parts of a data set, not classes. Rename "
        f"them to train and val (a link will do), or write ?train={train}&val={val} behind the "
        f"folder where options are taken; or name one part, {error.root / train}, of whose classes "
        "a share is then held back"
    )


def _labels(source: ImageFolder, names: tuple[str, ...]) -> np.ndarray:
    number = {name: i for i, name in enumerate(names)}
    labels = np.empty(len(source), np.int64)
    for index in range(len(source)):
        labels[index] = number[source.classes[source.label(index)]]
    return labels
