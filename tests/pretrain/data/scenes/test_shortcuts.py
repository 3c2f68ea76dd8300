"""What a network could read off without learning shapes: colour does not name a class."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pretrain.data.scenes import CLASSES, GROUND, IGNORE
from pretrain.data.scenes.annotations import find_instances
from pretrain.data.scenes.classes import TEXTURES
from pretrain.data.scenes.layout import (
    sample_scene,
    scene_rng,
)
from pretrain.data.scenes.render import render_frame

IMAGES, SIZE, SEED, SEQUENCES = 70, 96, 3, 3


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def drawn(split: str, index: int, seed: int = SEED):
    scene = sample_scene(scene_rng(seed, split, "image", index))
    return scene, render_frame(scene, 0, SIZE)


def nearest(train: np.ndarray, labels: np.ndarray, query: np.ndarray, k: int) -> np.ndarray:
    """Majority among the k nearest rows, after scaling every column to unit variance."""
    mean, scale = train.mean(0), train.std(0) + 1e-9
    train, query = (train - mean) / scale, (query - mean) / scale
    distance = (query**2).sum(1)[:, None] - 2 * query @ train.T + (train**2).sum(1)
    actual = labels[np.argpartition(distance, k, axis=1)[:, :k]]
    return np.array([np.bincount(row).argmax() for row in actual])


def test_mean_colour_of_a_whole_object_does_not_name_its_class():
    colours, labels = {}, {}
    for split, number in (("train", 110), ("val", 80)):
        rows = []
        for index in range(number):
            scene, frame = drawn(split, index)
            for instance in find_instances(scene, frame):
                inside_it = (frame.instances == instance.number) & ~frame.mixed
                rows.append((frame.image[inside_it].mean(0), instance.label))
        colours[split], labels[split] = (
            np.array([r[0] for r in rows]),
            np.array([r[1] for r in rows]),
        )
    centroids = np.stack([colours["train"][labels["train"] == c.label].mean(0) for c in CLASSES])
    by_centroid = np.linalg.norm(colours["val"][:, None] - centroids, axis=-1).argmin(1) + 1
    by_neighbours = nearest(colours["train"], labels["train"], colours["val"], k=15)
    assert len(labels["val"]) > 350
    # Chance is 0.10; with 350 objects its standard deviation is 0.015.
    assert (by_centroid == labels["val"]).mean() < 0.16
    assert (by_neighbours == labels["val"]).mean() < 0.16


def patches(scenes: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean colour, rotation-invariant filter energies and label of every 8-px cell that lies within
    one object.
    """
    colour, energy, label = [], [], []
    for path in sorted((scenes / "images" / split).iterdir()):
        image = read(path)
        labels = read(scenes / "annotations" / split / f"{path.stem}.png").reshape(12, 8, 12, 8)
        colour.append(image.reshape(12, 8, 12, 8, 3).mean((1, 3)).reshape(144, 3))
        energy.append(filter_energies(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)))
        low, high = labels.min((1, 3)).ravel(), labels.max((1, 3)).ravel()
        label.append(np.where((low == high) & (low != GROUND), low, IGNORE))
    colour, energy, label = np.concatenate(colour), np.concatenate(energy), np.concatenate(label)
    return colour[label > 0], energy[label > 0], label[label > 0]


def filter_energies(grey: np.ndarray) -> np.ndarray:
    """(144, 20): energies of Gabor pairs at 4 wavelengths, as magnitudes of the spectrum over 8
    directions.
    """
    mean = cv2.GaussianBlur(grey, (0, 0), 6)
    flat = (grey - mean) / (np.sqrt(cv2.GaussianBlur((grey - mean) ** 2, (0, 0), 6)) + 5)
    spectra = []
    for wavelength in (4.5, 6.5, 9.0, 13.0):
        rows = []
        for direction in np.arange(8) * math.pi / 8:
            energy = 0
            for phase in (0, math.pi / 2):
                kernel = cv2.getGaborKernel(
                    (25, 25), wavelength / 2, direction, wavelength, 1.0, phase, cv2.CV_32F
                )
                energy = (
                    energy
                    + cv2.filter2D(flat, -1, (kernel - kernel.mean()) / np.linalg.norm(kernel)) ** 2
                )
            rows.append(cv2.GaussianBlur(np.sqrt(energy), (0, 0), 4)[4::8, 4::8].ravel())
        spectra.append(np.abs(np.fft.rfft(np.stack(rows), axis=0)))
    return np.concatenate(spectra).T


def test_small_patches_show_their_texture_but_not_by_colour(scenes: Path):
    train, val = patches(scenes, "train"), patches(scenes, "val")
    texture = np.array([-1, *(TEXTURES.index(c.texture) for c in CLASSES)])
    by_colour = nearest(train[0], train[2], val[0], k=15)
    by_energy = nearest(train[1], train[2], val[1], k=15)
    # Whole classes: chance 0.10; texture alone at best 0.5, since every texture is in two classes.
    assert (by_colour == val[2]).mean() < 0.17
    assert (by_energy == val[2]).mean() > 0.35
    assert (
        nearest(train[0], texture[train[2]], val[0], k=15) == texture[val[2]]
    ).mean() < 0.33  # chance 0.20
    assert (nearest(train[1], texture[train[2]], val[1], k=15) == texture[val[2]]).mean() > 0.8
