"""What readers of image and label map pairs share: parts that are found, checked and described by
one rule.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.data.base import LabelledData
from benchmarks.data.layouts import find_layout
from benchmarks.data.pair_lists import Pair
from benchmarks.data.pairing import part_pairs
from benchmarks.data.pairs import PairSplit
from benchmarks.data.parts import check_parts
from benchmarks.data.selection import Parts

_CURE = (
    "write {split} into images= if each part has its own folder, or name another part "
    "by train=, val="
)


class PairFolder(LabelledData):
    """Images with label maps: a part that fills the memory and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: One of those that have :attr:`labels`.
        parts: What the parts are called and what each takes.
        options: Of the layout ``plain``, None where not given.
        allow_shared: Accept images that lie in both parts; the protocol then counts them.
        settings: What else of a subclass's arguments belongs to the protocol; None stands for
            what was not given.

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without label maps or the reverse, names that differ, nothing left, parts
            that share images, a part in which no pixel counts, or an illegal option.
    """

    train: PairSplit
    val: PairSplit

    def __init__(
        self,
        root: str | Path,
        layout: str,
        *,
        parts: Parts,
        options: Mapping[str, Any],
        allow_shared: bool,
        settings: Mapping[str, Any],
    ) -> None:
        self.layout = layout
        self.root, self._layout = find_layout(
            Path(root).expanduser(), layout, labels=self.labels, options=options
        )
        self.train, self.val = self._splits(parts)
        self._settings = parts.protocol
        self._settings |= {name: value for name, value in settings.items() if value is not None}
        self._settings |= self._shared(allow_shared)
        for part, split in zip(parts.names, (self.train, self.val), strict=True):
            split.require_labels(part)

    def _splits(self, parts: Parts) -> Iterable[PairSplit]:
        """Makes the train and the val part."""
        pairs = part_pairs(self.root, self._layout, parts=parts, labels=self.labels, word=self.word)
        return map(self._open, pairs)

    def _shared(self, allow_shared: bool) -> dict[str, int]:
        """See :func:`benchmarks.data.parts.check_parts`."""
        return check_parts(self.train.files, self.val.files, allow_shared=allow_shared, cure=_CURE)

    @abstractmethod
    def _open(self, pairs: list[Pair]) -> PairSplit:
        """Makes a part of its files."""

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return self.val.files

    @property
    def groups(self) -> list[int] | None:
        """See :class:`LabelledData`; the layout says it."""
        return None if self._layout.groups is None else self._layout.groups(self.scored_files)

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        return dict(
            layout=self.layout,
            **self._settings,
            train_images=len(self.train),
            val_images=len(self.val),
            train_content=self.train.fingerprint,
            val_content=self.val.fingerprint,
        )
