"""A toy set with masks and depth maps, and a toy network without weights, shared by the tests of
frozen evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from benchmarks.data import DepthFolder, NormalFolder, SegmentationFolder

COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)


class ColourGrid:
    """Stands for a FeatureExtractor: mean colour of each patch, plus 0.1, times a fixed matrix if
    one is given.
    """

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    upsampler: Any = None
    task_stride = 1

    def __init__(self, stride: int = 8, matrix: torch.Tensor | None = None) -> None:
        self.stride, self.matrix = stride, matrix
        self.device = torch.device("cpu")

    def maps(self, images: torch.Tensor, *, recurs: bool = True) -> torch.Tensor:
        scale = 255 if images.dtype == torch.uint8 else 1
        maps = torch.nn.functional.avg_pool2d(images.float() / scale, self.stride) + 0.1
        return maps if self.matrix is None else torch.einsum("dc,bchw->bdhw", self.matrix, maps)

    @property
    def map_stride(self) -> int:
        return self.stride

    @property
    def channels(self) -> int:
        return 3 if self.matrix is None else len(self.matrix)

    def encode(self, images: torch.Tensor, *, recurs: bool = True) -> torch.Tensor:
        return self.maps(images)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 255

    def vector(self, images: torch.Tensor) -> torch.Tensor:
        return self.maps(images).mean((2, 3))

    def describe(self) -> dict[str, Any]:
        return {"spec": "colour grid"}


@pytest.fixture
def colour_grid() -> type[ColourGrid]:
    """The toy network's class."""
    return ColourGrid


def write_pairs(root: Path, split: str, count: int, seed: int) -> None:
    """Images of 40 x 48 pixels in noisy class colours; masks of 3 classes with some ignored (255)
    pixels; depth maps of 1, 2 and 3 metres plus 0 to 0.3, by class, with some unknown (0) pixels,
    among them one whole patch of image 0.
    """
    rng, depth_rng = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    for kind in ("images", "masks", "depth"):
        (root / kind / split).mkdir(parents=True)
    for index in range(count):
        mask = np.kron(rng.integers(0, 3, (5, 6)), np.ones((8, 8), np.int64)).astype(np.uint8)
        image = COLOURS[mask] + rng.integers(-40, 55, (*mask.shape, 3))
        depth = 1000 * (mask + 1).astype(np.uint16) + depth_rng.integers(0, 300, mask.shape).astype(
            np.uint16
        )
        depth[depth_rng.random(mask.shape) < 0.1] = 0
        depth[:8, :8] = 0 if index == 0 else depth[:8, :8]
        Image.fromarray(depth).save(root / "depth" / split / f"{index:03d}.png")
        mask[rng.random(mask.shape) < 0.1] = 255
        mask[:8, :8] = 255 if index == 0 else mask[:8, :8]
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / split / f"{index:03d}.png")
        Image.fromarray(mask).save(root / "masks" / split / f"{index:03d}.png")


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the toy set: 6 train and 4 val images."""
    root = tmp_path_factory.mktemp("toy_segmentation")
    write_pairs(root, "train", 6, seed=0)
    write_pairs(root, "val", 4, seed=1)
    return root


@pytest.fixture
def toy_data(toy_root: Path) -> Callable[..., SegmentationFolder]:
    """Opens the toy set; arguments override."""

    def make(**overrides: Any) -> SegmentationFolder:
        options = dict(images="images/{split}", masks="masks/{split}", classes=3, ignore=255)
        return SegmentationFolder(toy_root, "plain", **(options | overrides))

    return make


@pytest.fixture
def toy_depth(toy_root: Path) -> Callable[..., DepthFolder]:
    """Opens the toy set's depth maps; arguments override."""

    def make(**overrides: Any) -> DepthFolder:
        return DepthFolder(
            toy_root, "plain", **(dict(images="images/{split}", depth="depth/{split}") | overrides)
        )

    return make


@pytest.fixture(scope="session")
def normals_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 4 train and 2 val images of 40 x 48 pixels whose colours are those of their normal
    maps, which have some unknown pixels.
    """
    root = tmp_path_factory.mktemp("toy_normals")
    rng = np.random.default_rng(7)
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            blocks = rng.normal(size=(5, 6, 3)) * 0.4 + (0, 0, 1)
            vectors = np.kron(blocks, np.ones((8, 8, 1)))
            vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
            values = ((vectors + 1) * 127.5).round().astype(np.uint8)
            truth = np.where(rng.random((40, 48, 1)) < 0.1, 0, values).astype(np.uint8)
            for kind, pixels in (("img", values), ("norm", truth)):
                path = root / split / f"{index:06d}_{kind}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root


@pytest.fixture
def toy_normals(normals_root: Path) -> NormalFolder:
    """The toy set with surface normals."""
    return NormalFolder(normals_root, images="{split}/*_img.png", normals="{split}/*_norm.png")


def _write_willow(root: Path, points: int = 4) -> Path:
    """Two subsets, of three and of two images of unequal sizes; points anywhere in the image."""
    rng = np.random.default_rng(0)
    for folder, count in (("car(S)", 3), ("bottle", 2)):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            height, width = int(rng.integers(30, 60)), int(rng.integers(30, 60))
            pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{index}.png")
            place = rng.random((2, points)) * np.array([[width], [height]])
            savemat(root / folder / f"{index}.mat", dict(pts_coord=place))
    return root


@pytest.fixture(scope="session")
def write_willow() -> Callable[[Path], Path]:
    """Writes toy keypoint pairs into a folder and returns it."""
    return _write_willow


def _put_noise(path: Path, size: tuple[int, int], seed: int) -> None:
    """A photo of noise, (H, W) pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def _put_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _write_spair(root: Path) -> Path:
    """Two classes of three images, all ordered pairs in the test list, 3 or 4 points of each."""
    names, rng = [], np.random.default_rng(1)
    for category in ("cat", "bus"):
        sizes = {name: (40 + 8 * name, 56 - 8 * name) for name in range(3)}
        for name, size in sizes.items():
            _put_noise(root / f"JPEGImages/{category}/{name}.jpg", size, seed=name)
        for number, (source, target) in enumerate(permutations(sizes, 2)):
            points, content = (
                3 + number % 2,
                dict(category=category, viewpoint_variation=number % 3),
            )
            for side, image in (("src", source), ("trg", target)):
                height, width = sizes[image]
                content[f"{side}_imname"] = f"{image}.jpg"
                content[f"{side}_imsize"] = [width, height, 3]
                content[f"{side}_bndbox"] = [2, 4, width - 3, height - 6]
                places = rng.integers(2, 38, (points, 2)) * [width / 40, height / 40]
                content[f"{side}_kps"] = places.round().astype(int).tolist()
            names.append(f"{number:06d}-{source}-{target}:{category}")
            _put_json(root / f"PairAnnotation/test/{names[-1]}.json", content)
    (root / "Layout/large").mkdir(parents=True)
    (root / "Layout/large/test.txt").write_text("\n".join(names) + "\n")
    return root


def _write_pfpascal(root: Path) -> Path:
    """One pair of each of two classes; the first target's box is annotated."""
    lines = ["source_image,target_image,class,XA,YA,XB,YB"]
    for number, folder in ((1, "aeroplane"), (7, "car")):
        pair = [f"2008_{number}{side}" for side in "ab"]
        for name in pair:
            _put_noise(root / f"JPEGImages/{name}.jpg", (40, 56), seed=number)
        files = [f"PF-dataset-PASCAL/JPEGImages/{name}.jpg" for name in pair]
        lines.append(f"{files[0]},{files[1]},{number},3;9;20.5,4;8;30,5;11;22,6;10;31")
        if folder == "aeroplane":
            (root / "Annotations" / folder).mkdir(parents=True)
            box = dict(bbox=np.array([[4.0, 6, 34, 26]]), kps=np.ones((4, 2)))
            savemat(root / "Annotations" / folder / f"{pair[1]}.mat", box)
    (root / "test_pairs_pf_pascal.csv").write_text("\n".join(lines) + "\n")
    return root


def _write_ap10k(root: Path) -> Path:
    """Two families of two species each, 8 images of one animal a species, and one image of two."""
    kinds, images, marks, rng = [], [], [], np.random.default_rng(2)
    for number, (family, species) in enumerate(
        (("Felidae", "cat"), ("Felidae", "lion"), ("Canidae", "dog"), ("Canidae", "wolf"))
    ):
        kinds.append(dict(id=number, name=species, supercategory=family))
        for index in range(8):
            image = 10 * number + index
            images.append(dict(id=image, file_name=f"{image:012d}.jpg", height=40, width=56))
            seen = rng.random(17) < 0.6
            table = np.stack([rng.integers(0, 56, 17), rng.integers(0, 40, 17), 2 * seen], 1)
            mark = dict(image_id=image, category_id=number, iscrowd=0, bbox=[5, 6, 30, 20])
            marks.append(mark | dict(keypoints=table.ravel().tolist()))
            _put_noise(root / f"data/{image:012d}.jpg", (40, 56), seed=image)
    marks.append(marks[0])  # a second animal on the first image, which is left out
    for part, name in enumerate(("train", "test", "val")):
        own = [image for image in images if image["id"] % 3 == part]
        ids = {image["id"] for image in own}
        content = dict(images=own, annotations=[m for m in marks if m["image_id"] in ids])
        file = root / f"annotations/ap10k-{name}-split1.json"
        _put_json(file, content | dict(categories=kinds))
    return root


def _write_navi(root: Path) -> Path:
    """One object, a ball of 4 cm radius whose colour at x is 128 · (1 + x / 4 cm): 4 photos in the
    wild and 6 of two multiview sets, of 128 × 96 pixels, from 20 cm, turned by 25 degrees each.
    """
    sets = dict(wild_set=range(4), multiview_00_pixel=range(3), multiview_01_canon=range(3, 6))
    for number, (name, turns) in enumerate(sets.items()):
        cameras, folder = [], root / "duck" / name
        for turn in turns:
            camera = _photograph_ball(folder, f"{turn:03d}", np.radians(25 * turn + 5 * number))
            cameras.append(dict(filename=f"{turn:03d}.jpg", image_size=[96, 128], camera=camera))
        _put_json(folder / "annotations.json", cameras)
    _put_json(root / "bare/wild_set/annotations.json", [])  # an object without a multiview set
    return root


def _photograph_ball(folder: Path, name: str, turn: float) -> dict[str, Any]:
    """Writes photo and depth of the ball, turned about the vertical; returns the camera."""
    radius, focal, away = 40.0, 150.0, np.array([3.0, -2.0, 200.0])  # mm, pixels, mm
    rows, columns = np.mgrid[:96, :128] + 0.5
    rays = np.stack([(columns - 64) / focal, (rows - 48) / focal, np.ones((96, 128))], -1)
    along, square = rays @ away, (rays**2).sum(-1)
    inner = along**2 - square * (away @ away - radius**2)
    hit = inner > 0
    depth = np.where(hit, (along - np.sqrt(np.maximum(inner, 0))) / square, 0)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    points = (rays * depth[..., None] - away) @ rotation  # Rᵀ (x − t)
    colours = np.where(hit[..., None], 127.5 * (1 + points / radius), 0).clip(0, 255)
    for part in ("images", "depth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    photo = Image.fromarray(colours.round().astype(np.uint8))
    photo.save(folder / f"images/{name}.jpg", quality=100, subsampling=0)
    inverse = np.where(hit, 65_535 * 10 / np.where(hit, depth, 1), 0).round()
    Image.fromarray(inverse.astype(np.uint16)).save(folder / f"depth/{name}.png")
    quaternion = [2 * np.cos(turn / 2), 0, 2 * np.sin(turn / 2), 0]
    return dict(q=quaternion, t=away.tolist(), focal_length=focal)


@pytest.fixture(scope="session")
def write_point_pairs() -> Callable[[str, Path], Path]:
    """Returns ``write(layout, folder)``: writes a toy set of pairs in a published layout."""
    writers = dict(
        spair=_write_spair, pfpascal=_write_pfpascal, ap10k=_write_ap10k, navi=_write_navi
    )

    def write(layout: str, root: Path) -> Path:
        return writers[layout](root)

    return write


@pytest.fixture(scope="session")
def split_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders whose classes differ in hue, small enough for a few seconds of training:
    ``{train,val}/{blue,green,red}/<name>.jpg``: 8 and 4 images a class; read-only by
    convention.
    """
    root = tmp_path_factory.mktemp("split_folder")
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for channel, name in enumerate(("blue", "green", "red")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 96, (40, 48, 3), dtype=np.uint8)
                image[..., channel] += 128
                assert cv2.imwrite(
                    str(root / part / name / f"{name}_{index}.jpg"),
                    cv2.GaussianBlur(image, (0, 0), 2),
                )
    return root


def _write_got10k(root: Path, videos: int = 4, levels: int = 9) -> Path:
    """Videos of 12 frames of 24 x 32 pixels in two classes; frame k has the level of cover k modulo
    ``levels``, the last one shows no object.
    """
    rng = np.random.default_rng(0)
    names = [f"GOT-10k_Train_{number:06d}" for number in range(1, videos + 1)]
    root.mkdir(parents=True, exist_ok=True)
    (root / "list.txt").write_text("\n".join(names) + "\n")
    for number, name in enumerate(names):
        folder = root / name
        folder.mkdir()
        kind = ("black bear", "bicycle")[number % 2]
        (folder / "meta_info.ini").write_text(
            f"[METAINFO]\nmajor_class: thing\nobject_class: {kind}\nresolution: (32, 24)\n"
        )
        frames = range(12)
        for frame in frames:
            pixels = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{frame + 1:08d}.jpg")
        boxes = [f"{frame}.0000,2.5,10.0,12.0" for frame in frames]
        (folder / "groundtruth.txt").write_text("\n".join(boxes) + "\n")
        cover = [str(frame % levels) for frame in frames]
        (folder / "cover.label").write_text("\n".join(cover) + "\n")
        (folder / "absence.label").write_text("0\n" * 11 + "1\n")
    return root


@pytest.fixture(scope="session")
def write_got10k() -> Callable[..., Path]:
    """Writes a toy train part of GOT-10k into a folder and returns it; see ``_write_got10k``."""
    return _write_got10k


def _write_davis(root: Path, frames: int = 5) -> Path:
    """Two sequences of 40 x 64 pixels in the layout of DAVIS-2017, part val: squares that move over
    noise, one object in the first and two in the second; palette masks in which 255 is void.
    """
    rng = np.random.default_rng(0)
    names = ("bike", "two-dogs")
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("\n".join(names) + "\n")
    for objects, name in enumerate(names, start=1):
        folders = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        for folder in folders:
            folder.mkdir(parents=True)
        for frame in range(frames):
            image = rng.integers(90, 160, (40, 64, 3))
            mask = np.zeros((40, 64), np.uint8)
            for number in range(1, objects + 1):
                window = (
                    slice(16 * number - 12, 16 * number + 4),
                    slice(8 + 4 * frame, 24 + 4 * frame),
                )
                mask[window], image[window] = number, COLOURS[number]
            mask[-2:] = 255
            Image.fromarray(image.astype(np.uint8)).save(
                folders[0] / f"{frame:05d}.jpg", quality=95
            )
            palette = Image.fromarray(mask, mode="P")
            palette.putpalette(rng.integers(0, 255, 768, dtype=np.uint8).tolist())
            palette.save(folders[1] / f"{frame:05d}.png")
    return root


@pytest.fixture(scope="session")
def write_davis() -> Callable[..., Path]:
    """Writes a toy part of DAVIS-2017 into a folder and returns it; see ``_write_davis``."""
    return _write_davis
