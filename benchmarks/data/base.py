"""What every reader of labelled data offers; suite, command line and pages ask no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.data.layouts import LAYOUTS, layouts_with
from benchmarks.data.loading import resize_image
from pretrain.data.decode import decode_file


class LabelledData(ABC):
    """A labelled data set: ``Reader(root, layout, …)``.

    Attributes:
        labels: What of a :class:`~benchmarks.data.layout.Layout` it reads: ``masks``, ``depth``,
            ``normals``, ``points``, ``sets``, ``videos``, ``views`` or ``class_folders``.
        word: What messages call one of these.
    """

    labels: ClassVar[str]
    word: ClassVar[str]

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What of the data belongs to a protocol: layout, parts, counts, content keys; no path."""

    @property
    @abstractmethod
    def scored_files(self) -> list[Path]:
        """The image files that are scored, in order."""

    @property
    def groups(self) -> list[int] | None:
        """Which of :attr:`scored_files` (of pairs or objects, where these are scored) belong
        together, a number from 0 for each; None: every image stands alone. Records keep it beside
        their counts, it is no part of a protocol.
        """
        return None

    def picture(self, index: int, settings: Any) -> np.ndarray:
        """One of :attr:`scored_files` as a benchmark shows it to networks: (H, W, 3) uint8 RGB.

        Args:
            index: Its number.
            settings: The benchmark's, with ``size`` (H, W) in pixels.

        Raises:
            ValueError: not readable; names the file.
        """
        return resize_image(decode_file(self.scored_files[index]), settings.size)

    @classmethod
    def arguments(cls, layout: str, root: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Arguments for this class from ``LAYOUT:ROOT?options``; None where the layout holds
        nothing that it reads.
        """
        if not LAYOUTS[layout].has(cls.labels):
            return None
        if layout == "plain":
            kind = next((name for name in ("depth", "normals") if name in options), "masks")
            if kind != cls.labels:
                return None
        return dict(root=root, layout=layout) | dict(options)

    @classmethod
    def wanted(cls) -> str:
        """The layouts that it reads, for messages."""
        return f"layout with {cls.word}s ({', '.join(layouts_with(cls.labels))})"
