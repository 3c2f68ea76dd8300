"""The data sets: any class folder corrupted on the fly, ImageNet-A, -R, -Sketch, and the files of
ImageNet-C.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.class_folder import ClassSplit
from benchmarks.data.class_parts import find_parts, labelled_folder, stratified_split
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES
from pretrain.annotations import fit_all
from pretrain.data.folders import visible
from pretrain.names import check_choice
from pretrain.specs import split_options

#: Classes of each set of ImageNet; those of -A and -R are 200 of the 1000.
IMAGENET_CLASSES = {
    "imagenet-a": 200,
    "imagenet-r": 200,
    "imagenet-sketch": 1000,
    "imagenet-c": 1000,
}
KINDS = ("corrupted", *IMAGENET_CLASSES)

Condition = tuple[str, int] | None  # a corruption and its severity; None: images as they are


@dataclass(frozen=True)
class RobustnessData:
    """One data set, seen through its conditions.

    Attributes:
        kind: One of ``KINDS``.
        root: Its folder.
        class_names: Names of its class folders, sorted; labels of every split index them.
        images: The images; None for ``imagenet-c``, which has other files for each condition.
        facts: What else of it belongs to a protocol.
    """

    kind: str
    root: Path
    class_names: tuple[str, ...]
    images: ClassSplit | None
    facts: dict[str, Any]

    @property
    def masked(self) -> bool:
        """Whether scores of classes that the set does not have are left out: only where the set is
        defined so.
        """
        return self.kind in ("imagenet-a", "imagenet-r")

    @property
    def generated(self) -> bool:
        """Whether its images are corrupted here."""
        return self.kind == "corrupted"

    @property
    def complete(self) -> bool:
        """Whether it has all classes of the ImageNet set that it is named after."""
        return len(self.class_names) == IMAGENET_CLASSES.get(self.kind)

    @property
    def alexnet(self) -> bool:
        """Whether AlexNet's errors are the unit of its mCE: the complete files of ImageNet-C."""
        return self.kind == "imagenet-c" and self.complete

    def conditions(
        self, corruptions: tuple[str, ...], severities: tuple[int, ...]
    ) -> list[Condition]:
        """What is evaluated: the images as they are where there are such, then every corruption and
        severity.

        Raises:
            ValueError: ``imagenet-c`` lacks folders of these, or a folder has other classes.
        """
        corrupted: list[Condition] = list(product(corruptions, severities))
        if self.kind == "corrupted":
            return [None, *corrupted]
        if self.kind != "imagenet-c":
            return [None]
        missing = [c for c in corrupted if not self._folder(c).is_dir()]
        if missing:
            names = ", ".join(f"{name}/{severity}" for name, severity in missing[:5])
            raise ValueError(
                f"{self.root} lacks {len(missing)} of {len(corrupted)} folders "
                f"CORRUPTION/SEVERITY ({names}); unpack them there, or name those it has by "
                "--corruptions and --severities"
            )
        for condition in corrupted:
            self._check_classes(self._folder(condition))
        return corrupted

    def open(self, condition: Condition) -> ClassSplit:
        """Returns the images of a condition; those that are corrupted here come uncorrupted.

        Raises:
            ValueError: the folder of the condition holds no image.
        """
        if self.images is not None:
            return self.images
        folder = self._folder(condition)
        return _split(folder, folder)

    def columns(self, classes: tuple[str, ...]) -> list[int]:
        """Positions of the set's classes among those of a classifier.

        Raises:
            ValueError: the classifier does not know some of them.
        """
        position = {name: index for index, name in enumerate(classes)}
        unknown = [name for name in self.class_names if name not in position]
        if unknown:
            raise ValueError(
                f"{self.root} has {len(unknown)} classes that the classifier does not know: "
                f"{', '.join(unknown[:5])}; among the {len(classes)} that it knows are "
                f"{', '.join(classes[:5])}. Folders need the names of those that it was trained "
                "on"
            )
        return [position[name] for name in self.class_names]

    def _folder(self, condition: Condition) -> Path:
        name, severity = condition
        return self.root / name / str(severity)

    def _check_classes(self, folder: Path) -> None:
        names = _class_folders(folder)
        if names != self.class_names:
            odd = sorted(set(names) ^ set(self.class_names))
            raise ValueError(
                f"{folder} has {len(names)} class folders, others below {self.root} have "
                f"{len(self.class_names)}; they differ in {', '.join(odd[:5])}: unpack it again"
            )


def open_data(spec: str) -> RobustnessData:
    """Opens ``KIND:ROOT?option=value&…``.

    ``corrupted:ROOT`` takes the images that fine-tuning and probes validate on: folder ``val`` if
    there are ``train`` and ``val``, else the same draw of each class (``?held_back=0.2&seed=0``);
    ``?part=all`` takes everything below ROOT. ``?every=N`` takes every N-th image.
    ``?partial=True`` accepts an ImageNet set with fewer classes.

    Raises:
        ValueError: an unknown kind or option, folders that are no such set, no images.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS:
        raise ValueError(f"--data {spec!r}: write KIND:ROOT, kinds are {', '.join(KINDS)}")
    root, options = split_options(rest)
    reader = _corrupted if kind == "corrupted" else _imagenet
    legal = dict.fromkeys(KINDS, ("partial", "every")) | {
        "corrupted": ("part", "held_back", "seed", "every"),
        "imagenet-c": ("partial",),
    }
    for name in options:
        check_choice(f"--data {spec!r}: option", name, legal[kind])
    options = fit_all(options, reader, where=f"--data {spec!r}: ")
    if not Path(root).is_dir():
        raise ValueError(f"--data {spec!r}: there is no folder {root}")
    if options.get("every", 1) < 1:
        raise ValueError(f"--data {spec!r}: every={options['every']} must be at least 1")
    return reader(kind, Path(root), **options)


def _corrupted(
    kind: str,
    root: Path,
    *,
    part: str = "val",
    held_back: float = 0.2,
    seed: int = 0,
    every: int = 1,
) -> RobustnessData:
    check_choice("part", part, ("val", "all"))
    facts: dict[str, Any] = dict(part=part, every=every)
    folder, drawn = root, None
    parts = find_parts(root) if part == "val" else None
    if parts:
        folder = parts[1]
    elif part == "val":
        drawn = held_back, seed
        facts |= dict(held_back=held_back, split_seed=seed)
    images = _split(folder, root, every=every, drawn=drawn)
    return _described(RobustnessData(kind, root, _class_folders(folder), images, facts))


def _imagenet(kind: str, root: Path, *, partial: bool = False, every: int = 1) -> RobustnessData:
    folder = _first_condition(root) if kind == "imagenet-c" else root
    names = _class_folders(folder)
    others = [name for name in names if not re.fullmatch(r"n\d{8}", name)]
    if others:
        raise ValueError(
            f"{folder}: class folders of {kind} are named by WordNet ids as n01440764, found "
            f"{others[:5]}"
        )
    if len(names) != IMAGENET_CLASSES[kind] and not partial:
        raise ValueError(
            f"{folder} has {len(names)} class folders, {kind} has {IMAGENET_CLASSES[kind]}: an "
            f"incomplete copy? {kind}:ROOT?partial=True takes it as it is"
        )
    if kind == "imagenet-c":
        return RobustnessData(kind, root, names, None, {})
    images = _split(root, root, every=every)
    return _described(RobustnessData(kind, root, names, images, dict(every=every)))


def _first_condition(root: Path) -> Path:
    """The first folder of ImageNet-C that is there."""
    for name, severity in product(CORRUPTIONS, SEVERITIES):
        if (root / name / str(severity)).is_dir():
            return root / name / str(severity)
    raise ValueError(
        f"{root} has no folder CORRUPTION/SEVERITY such as gaussian_noise/1; folders that the "
        "archives group them in (noise, blur, …) do not belong between"
    )


def _described(data: RobustnessData) -> RobustnessData:
    """The same with number and content of its images among the facts."""
    content = dict(images=len(data.images), content=data.images.fingerprint)
    return replace(data, facts=data.facts | content)


def _class_folders(folder: Path) -> tuple[str, ...]:
    """Names of the class folders of an ImageFolder, without looking for images in them."""
    return tuple(path.name for path in visible(folder.iterdir()) if path.is_dir())


def _split(
    folder: Path, root: Path, *, every: int = 1, drawn: tuple[float, int] | None = None
) -> ClassSplit:
    """Images of the class folders below ``folder``; names are those below ``root``.

    Raises:
        ValueError: not two class folders, or one of them holds no image.
    """
    source = labelled_folder(folder)
    names = _class_folders(folder)
    empty = sorted(set(names) - set(source.classes))
    if empty:
        raise ValueError(
            f"{folder}: folders without an image: {', '.join(empty[:5])}; remove them or unpack "
            "again"
        )
    labels = np.fromiter(map(source.label, range(len(source))), np.int64, len(source))
    ids = np.arange(len(source))
    if drawn is not None:
        _, ids = stratified_split(labels, *drawn, names=source.classes)
    return ClassSplit(source, ids[::every], labels=labels[ids[::every]], root=root)
