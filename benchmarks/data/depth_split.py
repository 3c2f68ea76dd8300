"""One part of a data set with depth maps."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from benchmarks.data.label_maps import DEPTH_MODES, read_raw
from benchmarks.data.pair_lists import Pair
from benchmarks.data.pairs import PairSplit

_PER_METRE = 1000.0  # files of whole numbers hold millimetres, unless the user says otherwise
_PLAUSIBLE = (0.05, 200.0)  # metres: a median outside is rather a wrong scale than a scene
#: What ``scale=`` may be, for messages.
SCALES = "1000 for millimetres, 100 for centimetres, 256 for KITTI, 1 for metres"


class DepthSplit(PairSplit):
    """Image and depth map pairs of one part of a data set; label maps are float32 metres, 0 where
    not known.

    Args:
        pairs, root, resize_labels: As for :class:`PairSplit`.
        scale: Values per metre; None: 1000 for whole numbers, 1 for floats.
        eight_bits: Accept maps of 8 bits: only where the user says what their values are.
    """

    label_bytes = 4
    resize_option = "resize_depth"
    lacking = "depth is known: all maps"
    cure = "hold 0, negative numbers, NaN or infinity; check depth="

    def __init__(
        self,
        pairs: list[Pair],
        *,
        root: Path,
        scale: float | None = None,
        eight_bits: bool = False,
        resize_labels: bool = False,
    ) -> None:
        super().__init__(pairs, root=root, resize_labels=resize_labels)
        self._scale, self._eight_bits = scale, eight_bits

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a depth map (h, w) as float32 metres, 0 where not known: where the file holds 0, a
        negative number, NaN or infinity.

        Raises:
            ValueError: not readable, not one channel, or 8 bits without a scale; names the file.
        """
        raw = read_raw(path, word="depth map", modes=DEPTH_MODES)
        kind = raw.dtype.kind
        if kind != "f" and raw.dtype.itemsize < 2 and not self._eight_bits:
            content = "an array of 8 bits" if path.suffix == ".npy" else "a L image"
            raise ValueError(
                f"{path} is {content}; a depth map must be one channel of 16 bits that hold "
                "millimetres, or of floats that hold metres, 0 where the depth is not known. 8 "
                "bits need scale=, the number of values per metre"
            )
        scale = self._scale or (1.0 if kind == "f" else _PER_METRE)
        return self.metres(raw.astype(np.float32) * np.float32(1 / scale))

    @staticmethod
    def metres(depths: np.ndarray) -> np.ndarray:
        """Depths (h, w) float32 with 0 in place of what is no depth."""
        return np.where(np.isfinite(depths) & (depths > 0), depths, np.float32(0))

    def require_labels(self, part: str) -> tuple[Path, np.ndarray]:
        """As :meth:`PairSplit.require_labels`; warns of a median depth that no scene has: the
        likely cause is the scale.
        """
        path, depths = super().require_labels(part)
        median = float(np.median(depths[depths > 0]))
        if not _PLAUSIBLE[0] <= median <= _PLAUSIBLE[1]:
            warnings.warn(
                f"the median depth of {path} is {median:.4g} m; is that right? scale= says how "
                f"many values make a metre: {SCALES}",
                stacklevel=4,
            )
        return path, depths

    def counts(self, labels: np.ndarray) -> np.ndarray:
        """Which depths are known: (h, w) bool."""
        return labels > 0
