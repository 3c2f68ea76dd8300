"""What readers of views return: an image, its depth and its camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class View:
    """One view of an object.

    A point x of the object, in metres, is at R·x + t in the camera's frame: x right, y down, z into
    the image.

    Attributes:
        image: file of the photo. depth: file of its depth map.
        object: name of the object.
        collection: the set of photos it belongs to.
        size: (H, W) in pixels of the photo, upright.
        focal: focal length in pixels of the photo, of both axes; the axis meets its middle.
        rotation: R, (3, 3) float64. translation: t, (3,) float64 in metres.
    """

    image: Path
    depth: Path
    object: str
    collection: str
    size: tuple[int, int]
    focal: float
    rotation: np.ndarray
    translation: np.ndarray

    @property
    def name(self) -> str:
        """What the view is called in content keys."""
        return f"{self.object}/{self.collection}/{self.image.name}"


def relative_pose(source: View, target: View) -> tuple[np.ndarray, np.ndarray]:
    """R (3, 3) and t (3,) in metres that take points from the source's camera frame to the
    target's.
    """
    rotation = target.rotation @ source.rotation.T
    return rotation, target.translation - rotation @ source.translation


def rotation_angle(rotation: np.ndarray) -> float:
    """Angle of a rotation (3, 3) in degrees: acos((tr R − 1) / 2)."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def rotation_of(quaternion: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of a quaternion (w, x, y, z) of any length but 0."""
    w, x, y, z = np.asarray(quaternion, np.float64) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
