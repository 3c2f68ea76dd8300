"""Where the train and the validation part of class folders come from: lists, folders, or a draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data.domains import listed_parts
from pretrain.data.folders import PartsError, quoted, visible
from pretrain.data.sources import FilesBelow, ImageFolder


class ClassParts(NamedTuple):
    """Where the two parts come from.

    Attributes:
        sources: of train and val, which may be one.
        ids: of the images in their sources, ascending.
        settings: for the protocol.
        cure: what to do about images that lie in both.
    """

    sources: tuple[FilesBelow, FilesBelow]
    ids: tuple[np.ndarray, np.ndarray]
    settings: dict[str, Any]
    cure: str


def listed(root: Path, domain: str) -> ClassParts | None:
    """The parts that a domain's lists name."""
    sources = listed_parts(root, domain)
    if sources is None:
        return None
    _require_known(f"the list of {domain}'s test part", sources[1], train=sources[0])
    cure = "remove them from one of the two lists"
    return _whole(sources, dict(listed=True), cure=cure)


def given(root: Path, train: str, val: str) -> ClassParts | None:
    """The parts that are folders."""
    folders = find_parts(root, train, val)
    if folders is None:
        return None
    sources = labelled_folder(folders[0]), labelled_folder(folders[1])
    _require_known(str(folders[1]), sources[1], train=sources[0])
    cure = "move the copies out of one of them, or name other folders by train=, val="
    return _whole(sources, dict(train=train, val=val), cure=cure)


def _whole(
    sources: tuple[FilesBelow, FilesBelow], settings: dict[str, Any], *, cure: str
) -> ClassParts:
    ids = np.arange(len(sources[0])), np.arange(len(sources[1]))
    return ClassParts(sources, ids, settings, cure)


def _require_known(where: str, val: FilesBelow, *, train: FilesBelow) -> None:
    """Raises a ValueError for classes of the part ``val``, which lies ``where``, that ``train``
    lacks.
    """
    foreign = sorted(set(val.classes) - set(train.classes))
    if foreign:
        raise ValueError(f"{where} has classes that the train part lacks: {foreign[:5]}")


def drawn(root: Path, held_back: float, seed: int) -> ClassParts:
    """Two parts of one folder, by lot."""
    source = labelled_folder(root)
    labels = labels_of(source, source.classes)
    ids = stratified_split(labels, held_back, seed, names=source.classes)
    cure = (
        "the parts are drawn at random from one folder, so delete all but one of each image's "
        "copies in it"
    )
    return ClassParts((source, source), ids, dict(held_back=held_back, split_seed=seed), cure)


def capped(ids: np.ndarray, count: int | None, *, seed: int, part: int) -> np.ndarray:
    """At most ``count`` of the ascending ``ids`` (n,), drawn by lot, ascending; None: all.

    Raises:
        ValueError: ``count`` below 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"cap={count}: must be at least 1 image, or None for all")
    if count is None or count >= len(ids):
        return ids
    return np.sort(np.random.default_rng([seed, part]).permutation(ids)[:count])


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


def labels_of(source: FilesBelow, names: tuple[str, ...]) -> np.ndarray:
    """(n,) int64, the place of every file's class among the names."""
    number = {name: i for i, name in enumerate(names)}
    labels = np.empty(len(source), np.int64)
    for index in range(len(source)):
        labels[index] = number[source.classes[source.label(index)]]
    return labels
