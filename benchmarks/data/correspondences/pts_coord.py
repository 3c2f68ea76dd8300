"""Reading keypoints of one image from the files that data sets keep them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import loadmat

_VARIABLE = "pts_coord"


def read_pts_coord(path: Path) -> np.ndarray:
    """Reads the variable ``pts_coord`` (2, K) of a MATLAB file.

    Returns:
        (K, 2) float64, x and y in pixels.

    Raises:
        ValueError: not readable, or no finite numbers of that shape; names the file.
    """
    try:
        content = loadmat(path, variable_names=[_VARIABLE])
    except Exception as error:  # scipy names many kinds of damage by many exceptions
        raise ValueError(f"{path}: not readable as a MATLAB file ({error})") from error
    if _VARIABLE not in content:
        raise ValueError(f"{path} has no variable {_VARIABLE!r}")
    points = np.asarray(content[_VARIABLE], np.float64)
    if points.ndim != 2 or len(points) != 2 or not np.isfinite(points).all():
        raise ValueError(
            f"{path}: {_VARIABLE} must be (2, K) finite numbers, x and y; found shape "
            f"{points.shape}"
        )
    return points.T
