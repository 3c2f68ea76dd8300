"""Short sequences with moving camera and objects, and the true path of every pixel."""

from __future__ import annotations

import io

import numpy as np

from .annotations import find_instances, label_map
from .classes import GROUND
from .layout import (
    Scene,
    ground_points,
    pose_at,
    project_ground,
    sample_scene,
    scene_rng,
    surface_at,
)
from .render import render_frame

FRAMES = 6
_STEPS_PER_PIXEL = (
    256  # positions are rounded to 1/256 px: exact enough, and half the size when compressed
)


def track_points(
    scene: Scene, size: int, frames: int = FRAMES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follows the surface point seen at each pixel centre of frame 0 through all frames.

    Points ride on their surface: on an object with its own motion, on the ground with the camera's
    only. A point is visible where it is inside the image and the nearest surface at that position
    is its own; both are computed from the scene's geometry, not from the drawn pictures.

    Returns:
        ``tracks`` (T, S, S, 2) float32, x and y in pixels of frame t, pixel-area convention (the
        centre of pixel (i, j) is (j + .5, i + .5)), entry [0] is the pixel grid itself; ``visible``
        (T, S, S) bool; ``owner`` (S, S) uint8, the surface of each point: 0 ground, i + 1 =
        ``scene.things[i]``.
    """
    at = (np.arange(size) + 0.5) / size
    start = np.stack(np.meshgrid(at, at), axis=-1)  # (S, S, 2) as x, y
    owner = surface_at(scene, 0, start)
    world_x, world_y, _ = ground_points(scene, 0, start[..., 0], start[..., 1])
    tracks = np.empty((frames, size, size, 2), dtype=np.float32)
    visible = np.empty((frames, size, size), dtype=bool)
    for frame in range(frames):
        position = project_ground(scene, frame, world_x, world_y)
        for number, thing in enumerate(scene.things, start=1):
            to_local = pose_at(scene, thing, 0).to_local()
            onward = pose_at(scene, thing, frame).from_local()
            own = owner == number
            local = start[own] @ to_local[:, :2].T + to_local[:, 2]
            position[own] = local @ onward[:, :2].T + onward[:, 2]
        # Rounded before visibility is judged, so that a visible point always falls on a pixel.
        tracks[frame] = np.round(position * (size * _STEPS_PER_PIXEL)) / _STEPS_PER_PIXEL
        in_image = ((tracks[frame] >= 0) & (tracks[frame] < size)).all(axis=-1)
        # Frame 0 is the definition of what is seen; testing it again would only add rounding at the
        # outlines.
        visible[frame] = in_image & (surface_at(scene, frame, position) == owner) if frame else True
    return tracks, visible, owner


def draw_sequence(seed: int, split: str, index: int, size: int) -> tuple[list[np.ndarray], bytes]:
    """Draws one sequence.

    Returns:
        ``FRAMES`` images (S, S, 3) uint8 RGB, and the content of ``tracks.npz``: ``tracks``,
        ``visible`` and ``owner`` of :func:`track_points`, ``instances`` (T, S, S) uint8 (the
        surface that fills most of each pixel), ``labels`` (T, S, S) uint8 (label maps as for
        images) and ``classes`` (n + 1,) uint8, the label of each surface.
    """
    scene = sample_scene(scene_rng(seed, split, "sequence", index), moving=True)
    frames = [render_frame(scene, t, size) for t in range(FRAMES)]
    tracks, visible, owner = track_points(scene, size)
    labels = [label_map(f, find_instances(scene, f, t)) for t, f in enumerate(frames)]
    instances = [frame.instances for frame in frames]
    classes = [GROUND, *(thing.kind.label for thing in scene.things)]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        tracks=tracks,
        visible=visible,
        owner=owner,
        instances=np.stack(instances),
        labels=np.stack(labels),
        classes=np.array(classes, dtype=np.uint8),
    )
    return [f.image for f in frames], content.getvalue()
