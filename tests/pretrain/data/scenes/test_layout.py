"""Depth, parallax and tracks follow from where things stand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pretrain.data.scenes import GROUND, IGNORE
from pretrain.data.scenes.layout import (
    Camera,
    covers,
    ground_points,
    pose_at,
    project_ground,
    sample_scene,
    scene_rng,
)
from pretrain.data.scenes.render import render_frame
from pretrain.data.scenes.sequences import track_points

IMAGES, SIZE, SEED, SEQUENCES = 70, 96, 3, 3


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def drawn(split: str, index: int, seed: int = SEED):
    scene = sample_scene(scene_rng(seed, split, "image", index))
    return scene, render_frame(scene, 0, SIZE)


def test_depth_is_that_of_the_nearest_surface(scenes: Path):
    overlaps = 0
    for index in range(8):
        scene = sample_scene(scene_rng(SEED, "train", "image", index))
        depth = read(scenes / "depth" / "train" / f"scene_{index:06d}.png").astype(float) / 1000
        labels = read(scenes / "annotations" / "train" / f"scene_{index:06d}.png")
        agree = []
        for i in range(0, SIZE, 3):
            for j in range(
                0, SIZE, 3
            ):  # one obvious point at a time: nearest of all cards over the point
                point = np.array([(j + 0.5) / SIZE, (i + 0.5) / SIZE])
                over = [(1 / (np.array(scene.plane) @ [*(point - 0.5), 1]), GROUND)]
                for thing in scene.things:
                    m = pose_at(scene, thing, 0).to_local()
                    local = m[:, :2] @ point + m[:, 2]
                    if covers(thing, local[:1], local[1:])[0]:
                        over.append((thing.depth, thing.kind.label))
                nearest, label = min(over)
                overlaps += len(over) > 2
                if labels[i, j] != IGNORE:
                    agree.append(labels[i, j] == label and abs(depth[i, j] - nearest) < 0.02)
        assert np.mean(agree) > 0.995
    assert overlaps > 50  # objects do hide one another


def test_depth_of_ground_is_a_slope_behind_all_objects():
    scene, frame = drawn("val", 0)
    ground = frame.depth[frame.instances == 0]
    assert ground.min() > 1000 * max(thing.depth for thing in scene.things)
    column = np.array(frame.depth[:, 0], dtype=float)[frame.instances[:, 0] == 0]
    assert (np.diff(column) < 0).all()  # nearer towards the bottom


@pytest.mark.parametrize("split", ["train", "val"])
def test_tracks_lead_to_the_same_label_and_colour(scenes: Path, split: str):
    for folder in (scenes / "sequences" / split).iterdir():
        images = [read(p).astype(np.float32) for p in sorted(folder.glob("*.jpg"))]
        reported = np.load(folder / "tracks.npz")
        tracks, visible, owner = reported["tracks"], reported["visible"], reported["owner"]
        assert tracks.shape == (len(images), SIZE, SIZE, 2) and visible.shape == tracks.shape[:3]
        rows, columns = np.mgrid[:SIZE, :SIZE]
        assert visible[0].all() and np.array_equal(
            tracks[0], np.stack([columns + 0.5, rows + 0.5], -1)
        )
        for t in range(1, len(images)):
            seen = tracks[t][visible[t]]
            at = np.floor(seen).astype(int)
            assert (reported["instances"][t][at[:, 1], at[:, 0]] == owner[visible[t]]).mean() > 0.97
            named = reported["labels"][t][at[:, 1], at[:, 0]]
            known = named != IGNORE
            assert (named == reported["classes"][owner[visible[t]]])[known].mean() > 0.97
            # cv2 counts from pixel centres, tracks from pixel edges
            carried = cv2.remap(images[t], tracks[t] - 0.5, None, cv2.INTER_LINEAR)
            followed = np.abs(carried - images[0])[visible[t]].mean()
            ignored = np.abs(images[t] - images[0])[visible[t]].mean()
            assert followed < 0.6 * ignored
        assert visible[-1].mean() < 0.99  # something leaves or is covered
        assert np.abs(tracks[-1] - tracks[0]).mean() > 0.5


def test_points_of_known_depth_move_by_the_parallax():
    scene = sample_scene(scene_rng(0, "train", "sequence", 0), moving=True)
    still = tuple(replace(thing, velocity=(0.0, 0.0), spin=0.0) for thing in scene.things)
    scene = replace(scene, things=still, camera=Camera(velocity=(0.05, -0.02, 0.0)))
    tracks, _, owner = track_points(scene, 32)
    at = (np.arange(32) + 0.5) / 32
    _, _, depth = ground_points(scene, 0, at[None], at[:, None])
    for number, thing in enumerate(scene.things, start=1):
        depth = np.where(owner == number, thing.depth, depth)
    expected = -32 * np.stack(
        [0.05 / depth, -0.02 / depth], -1
    )  # pixels per frame: S · f · translation / depth
    for t in range(len(tracks)):
        assert np.allclose(tracks[t] - tracks[0], t * expected, atol=2 / 256)


def test_roll_and_approach_turn_and_widen_the_image_about_its_centre():
    scene = sample_scene(scene_rng(0, "train", "sequence", 1), moving=True)
    still = tuple(replace(thing, velocity=(0.0, 0.0), spin=0.0) for thing in scene.things)
    scene = replace(scene, things=still, camera=Camera(velocity=(0.0, 0.0, 0.1), roll=0.2))
    thing = scene.things[0]
    before, after = (pose_at(scene, thing, t) for t in (0, 1))
    widened = thing.depth / (thing.depth - 0.1)
    turn = np.array([[math.cos(0.2), math.sin(0.2)], [-math.sin(0.2), math.cos(0.2)]])
    assert np.allclose(after.centre - 0.5, widened * turn @ (before.centre - 0.5))
    assert after.scale == pytest.approx(widened) and after.angle == pytest.approx(
        before.angle - 0.2
    )


def test_projecting_the_ground_inverts_the_rays():
    scene = sample_scene(scene_rng(0, "val", "sequence", 0), moving=True)
    points = np.random.default_rng(0).uniform(size=(50, 2))
    for frame in (0, 3):
        x, y, _ = ground_points(scene, frame, points[:, 0], points[:, 1])
        assert np.allclose(project_ground(scene, frame, x, y), points)
