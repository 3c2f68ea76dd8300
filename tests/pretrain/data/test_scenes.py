from __future__ import annotations

import hashlib
import io
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from rich.console import Console

from pretrain.data.scenes import CLASSES, GROUND, IGNORE, LABEL_NAMES, write_scenes
from pretrain.data.scenes.annotations import find_instances
from pretrain.data.scenes.classes import SHAPES, TEXTURES
from pretrain.data.scenes.layout import (
    Camera,
    covers,
    ground_points,
    pose_at,
    project_ground,
    sample_scene,
    scene_rng,
    surface_at,
)
from pretrain.data.scenes.manifest import Request, begin
from pretrain.data.scenes.render import render_frame
from pretrain.data.scenes.sequences import track_points
from pretrain.data.scenes.shapes import EXTENT, inside
from pretrain.data.scenes.textures import pattern, sample_texture
from pretrain.data.scenes.write import Chunk, write_chunk

ROOT = Path(__file__).resolve().parents[3]
IMAGES, SIZE, SEED, SEQUENCES = 70, 96, 3, 3
ARGUMENTS = dict(size=SIZE, seed=SEED, sequences=SEQUENCES)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "set", IMAGES, **ARGUMENTS)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def drawn(split: str, index: int, seed: int = SEED):
    scene = sample_scene(scene_rng(seed, split, "image", index))
    return scene, render_frame(scene, 0, SIZE)


# --- classes
# -----------------------------------------------------------------------------------------------------


def test_neither_shape_nor_texture_names_a_class():
    assert Counter(c.shape for c in CLASSES) == dict.fromkeys(SHAPES, 2)
    assert Counter(c.texture for c in CLASSES) == dict.fromkeys(TEXTURES, 2)
    assert len({(c.shape, c.texture) for c in CLASSES}) == len(CLASSES) == 10
    assert [c.label for c in CLASSES] == list(range(1, GROUND))
    assert LABEL_NAMES[IGNORE] == "ignore" and LABEL_NAMES[GROUND] == "ground"


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_equal_area_and_their_extent(shape: str):
    side = np.linspace(-2, 2, 1001)
    x, y = np.meshgrid(side, side)
    found = inside(shape, x, y)
    assert found.sum() * (side[1] - side[0]) ** 2 == pytest.approx(math.pi, rel=0.005)
    assert np.hypot(x, y)[found].max() == pytest.approx(EXTENT[shape], abs=0.01)


def test_an_unknown_shape_is_named():
    with pytest.raises(ValueError, match="'hexagon'.*disc, square"):
        inside("hexagon", np.zeros(1), np.zeros(1))


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_use_both_colours_over_an_object(name: str):
    at = np.linspace(0, 0.3, 90, dtype=np.float32)
    x, y = np.meshgrid(at, at)
    for seed in range(20):
        value = pattern(sample_texture(name, np.random.default_rng(seed)), x, y)
        assert value.min() >= 0 and value.max() <= 1
        assert 0.1 < value.mean() < 0.9


# --- bytes
# -------------------------------------------------------------------------------------------------------


def test_another_seed_gives_other_images(scenes: Path, tmp_path: Path):
    other = write_scenes(tmp_path / "other", 5, size=SIZE, seed=SEED + 1, sequences=0)
    name = "images/train/scene_000000.jpg"
    assert (scenes / name).read_bytes() != (other / name).read_bytes()


def test_a_smaller_set_is_the_beginning_of_a_larger_one(scenes: Path, tmp_path: Path):
    small = write_scenes(tmp_path / "small", 10, size=SIZE, seed=SEED, sequences=1)
    same = [p for p in small.rglob("*") if p.suffix in (".jpg", ".png", ".npz")]
    assert len(same) > 60
    for path in same:
        assert path.read_bytes() == (scenes / path.relative_to(small)).read_bytes()
    few, many = (json.loads((s / "instances_val.json").read_text()) for s in (small, scenes))
    assert few["annotations"] == many["annotations"][: len(few["annotations"])]


def test_check_sums_and_counts_are_true(scenes: Path):
    lines = (scenes / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    on_disk = {p.relative_to(scenes).as_posix() for p in scenes.rglob("*") if p.is_file()}
    assert set(sums) == on_disk - {"SHA256SUMS", "scenes.json"}
    assert all(
        hashlib.sha256((scenes / name).read_bytes()).hexdigest() == sums[name] for name in sums
    )
    manifest = json.loads((scenes / "scenes.json").read_text())
    assert manifest["sha256"] == hashlib.sha256((scenes / "SHA256SUMS").read_bytes()).hexdigest()
    assert manifest["versions"] == {"numpy": np.__version__, "opencv": cv2.__version__}
    for split, number in (("train", 56), ("val", 14)):
        counts = manifest["counts"][split]
        assert counts["images"] == len(list((scenes / "images" / split).iterdir())) == number
        assert counts["sequences"] == len(list((scenes / "sequences" / split).iterdir()))
        for c in CLASSES:
            assert counts["crops"][c.name] == len(
                list((scenes / "crops" / split / c.name).iterdir())
            )
        labels = np.concatenate(
            [read(p).ravel() for p in (scenes / "annotations" / split).iterdir()]
        )
        assert (
            list(counts["label_pixels"].values())
            == np.bincount(labels, minlength=GROUND + 1).tolist()
        )


def test_splits_share_no_picture(scenes: Path):
    by_split = [
        {p.read_bytes() for p in (scenes / "images" / s).iterdir()} for s in ("train", "val")
    ]
    assert len(by_split[0]) == 56 and not by_split[0] & by_split[1]


# --- layouts, through the readers that people use
# -------------------------------------------------------------------


def test_files_have_the_modes_and_sizes_of_their_layouts(scenes: Path):
    for split in ("train", "val"):
        names = {p.stem for p in (scenes / "images" / split).iterdir()}
        for folder, mode in (("images", "RGB"), ("annotations", "L"), ("depth", "I;16")):
            files = list((scenes / folder / split).iterdir())
            assert {p.stem for p in files} == names
            for path in files:
                with Image.open(path) as picture:
                    assert (picture.mode, picture.size) == (mode, (SIZE, SIZE))
        assert sorted(p.name for p in (scenes / "crops" / split).iterdir()) == sorted(
            c.name for c in CLASSES
        )
        for path in (scenes / "crops" / split).rglob("*.jpg"):
            assert Image.open(path).size == (SIZE, SIZE)


def test_label_maps_hold_all_classes_and_few_ignored_pixels(scenes: Path):
    labels = np.stack([read(p) for p in (scenes / "annotations" / "train").iterdir()])
    share = np.bincount(labels.ravel(), minlength=GROUND + 1) / labels.size
    assert len(share) == GROUND + 1
    assert 0 < share[IGNORE] < 0.03
    assert 0.35 < share[GROUND] < 0.7
    assert share[1:GROUND].min() > 0.02


def test_coco_polygons_agree_with_the_label_maps(scenes: Path):
    coco = COCO(scenes / "instances_val.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == [c.name for c in CLASSES]
    overlaps = []
    for image in coco.loadImgs(coco.getImgIds()):
        labels = read(scenes / "annotations" / "val" / image["file_name"].replace(".jpg", ".png"))
        assert labels.shape == (image["height"], image["width"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        # Classes are drawn without repetition, so a class of the label map is one object.
        assert {a["category_id"] for a in annotations} == set(np.unique(labels)) - {IGNORE, GROUND}
        for a in annotations:
            mask, truth = coco.annToMask(a).astype(bool), labels == a["category_id"]
            known = labels != IGNORE
            overlaps.append((mask & truth & known).sum() / ((mask | truth) & known).sum())
            assert a["iscrowd"] == 0
            assert a["area"] == pytest.approx(mask.sum(), rel=0.1, abs=6)
            rows, columns = np.nonzero(mask)
            x, y, width, height = a["bbox"]
            drawn_box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            beyond = np.array([x, y, x + width, y + height]) - drawn_box
            outward = beyond * [-1, -1, 1, 1]
            # Tips of stars and triangles that are thinner than a pixel are in the box and not in
            # the mask.
            assert outward.min() > -1 and outward.max() < 3
    assert len(overlaps) > 50
    assert min(overlaps) > 0.9 and np.mean(overlaps) > 0.97


def test_visible_parts_have_no_holes():
    for index in range(30):
        scene, frame = drawn("train", index)
        for instance in find_instances(scene, frame):
            mask = (frame.samples == instance.number).astype(np.uint8)
            contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            holes = [c for c, node in zip(contours, tree[0], strict=True) if node[3] >= 0]
            assert sum(map(cv2.contourArea, holes)) < 9  # one pixel


# --- depth and occlusion
# -------------------------------------------------------------------------------------------


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


# --- sequences
# -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "val"])
def test_tracks_lead_to_the_same_label_and_colour(scenes: Path, split: str):
    for folder in (scenes / "sequences" / split).iterdir():
        images = [read(p).astype(np.float32) for p in sorted(folder.glob("*.jpg"))]
        told = np.load(folder / "tracks.npz")
        tracks, visible, owner = told["tracks"], told["visible"], told["owner"]
        assert tracks.shape == (len(images), SIZE, SIZE, 2) and visible.shape == tracks.shape[:3]
        rows, columns = np.mgrid[:SIZE, :SIZE]
        assert visible[0].all() and np.array_equal(
            tracks[0], np.stack([columns + 0.5, rows + 0.5], -1)
        )
        for t in range(1, len(images)):
            seen = tracks[t][visible[t]]
            at = np.floor(seen).astype(int)
            assert (told["instances"][t][at[:, 1], at[:, 0]] == owner[visible[t]]).mean() > 0.97
            named = told["labels"][t][at[:, 1], at[:, 0]]
            known = named != IGNORE
            assert (named == told["classes"][owner[visible[t]]])[known].mean() > 0.97
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


def test_drawn_instances_are_those_of_the_geometry():
    scene = sample_scene(scene_rng(0, "val", "sequence", 1), moving=True)
    at = (np.arange(SIZE) + 0.5) / SIZE
    grid = np.stack(np.meshgrid(at, at), -1)
    for frame in (0, 4):
        picture = render_frame(scene, frame, SIZE)
        clear = ~picture.mixed
        assert (picture.instances == surface_at(scene, frame, grid))[clear].mean() > 0.999


# --- what solves it, and what does not
# ------------------------------------------------------------------------------


def nearest(train: np.ndarray, labels: np.ndarray, query: np.ndarray, k: int) -> np.ndarray:
    """Majority among the k nearest rows, after scaling every column to unit variance."""
    mean, scale = train.mean(0), train.std(0) + 1e-9
    train, query = (train - mean) / scale, (query - mean) / scale
    distance = (query**2).sum(1)[:, None] - 2 * query @ train.T + (train**2).sum(1)
    found = labels[np.argpartition(distance, k, axis=1)[:, :k]]
    return np.array([np.bincount(row).argmax() for row in found])


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


# --- running again
# ----------------------------------------------------------------------------------------------------


def command(out: Path, *more: str, images: int = IMAGES) -> list[str]:
    given = f"--images {images} --size {SIZE} --seed {SEED} --sequences {SEQUENCES}".split()
    return [sys.executable, str(ROOT / "tools" / "make_scenes.py"), str(out), *given, *more]


def test_a_killed_run_of_two_processes_is_finished_with_the_bytes_of_one(
    scenes: Path, tmp_path: Path
):
    out = tmp_path / "killed"
    run = subprocess.Popen(
        command(out, "--workers", "2"), stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (notes := list(out.glob(".parts/image_train_*.json"))):
        assert run.poll() is None
        time.sleep(0.005)
    run.kill()  # the parent only: its workers have to notice by themselves
    run.wait()
    assert not (out / "scenes.json").exists()
    while alive(run.pid):  # workers that outlive the killed parent make this test hang
        time.sleep(0.05)
    finished = [out / name for note in notes for name in json.loads(note.read_text())["files"]]
    before = {path: path.stat().st_mtime_ns for path in finished}
    (out / "images" / "train" / ".scene_000999.jpg.1.tmp").write_bytes(b"begun")
    write_scenes(out, IMAGES, **ARGUMENTS)
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    ours = {p.relative_to(scenes): p.read_bytes() for p in scenes.rglob("*") if p.is_file()}
    theirs = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert {name for name in theirs if name not in ours} == set()
    assert theirs == ours


def test_a_chunk_whose_file_was_emptied_is_done_again(tmp_path: Path):
    request, chunk = Request(images=5, size=96, seed=0, sequences=0), Chunk("image", "val", 0, 1)
    write_chunk(tmp_path, request, chunk)
    assert chunk.is_done(tmp_path)
    (tmp_path / "depth" / "val" / "scene_000000.png").write_bytes(b"")
    assert not chunk.is_done(tmp_path)
    assert not Chunk("image", "val", 0, 2).is_done(tmp_path)


@pytest.mark.parametrize("length", [0, 100])
def test_a_chunk_whose_note_was_cut_short_is_done_again(tmp_path: Path, length: int):
    request, chunk = Request(images=5, size=96, seed=0, sequences=0), Chunk("image", "val", 0, 1)
    write_chunk(tmp_path, request, chunk)
    chunk.note(tmp_path).write_bytes(chunk.note(tmp_path).read_bytes()[:length])
    assert not chunk.is_done(tmp_path)
    write_chunk(tmp_path, request, chunk)
    assert chunk.is_done(tmp_path)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(
        int(fields[2]) == group and fields[0] != "Z"
        for fields in (
            stat.read_text().rsplit(")", 1)[1].split()
            for stat in Path("/proc").glob("[0-9]*/stat")
            if stat.exists()
        )
    )


def test_a_finished_set_is_left_alone(scenes: Path):
    before = {p: p.stat().st_mtime_ns for p in scenes.rglob("*")}
    told = io.StringIO()
    write_scenes(scenes, IMAGES, console=Console(file=told, width=300), **ARGUMENTS)
    assert "already holds these scenes: images 70, size 96 px, seed 3" in told.getvalue()
    assert {p: p.stat().st_mtime_ns for p in scenes.rglob("*")} == before


def test_a_different_set_is_refused_and_both_are_named(scenes: Path):
    with pytest.raises(
        FileExistsError, match=r"images 70, size 96 px, seed 3.*images 71, size 96 px, seed 3"
    ):
        write_scenes(scenes, IMAGES + 1, **ARGUMENTS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "scenes.json is no valid json"),
        ('{"seed": 1}', "scenes.json was not written by make_scenes.py, or is damaged"),
        ("[]", "scenes.json was not written by make_scenes.py, or is damaged"),
        (
            '{"versions": {}, "request": {"pictures": 5}}',
            "holds a different data set: there {'pictures': 5}",
        ),
    ],
)
def test_a_damaged_table_of_contents_is_told(tmp_path: Path, text: str, words: str):
    (tmp_path / "scenes.json").write_text(text)
    with pytest.raises((ValueError, FileExistsError), match=words):
        write_scenes(tmp_path, 20)


def test_the_command_line_reports_and_says_what_is_next(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture, run_tool: Callable[..., int]
):
    assert (
        run_tool("make_scenes", *command(scenes, "--sheet", str(tmp_path / "sheet.png"))[2:]) == 0
    )
    assert "compare.py" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * SIZE, 3 * SIZE)
    assert (tmp_path / "sheet.png").stat().st_size < 200_000
    assert run_tool("make_scenes", *command(scenes, images=80)[2:]) == 2
    assert "images 80" in capsys.readouterr().err


def test_an_unfinished_different_set_and_a_foreign_folder_are_refused(tmp_path: Path):
    begin(tmp_path / "begun", Request(images=10, size=96, seed=0, sequences=0))
    with pytest.raises(FileExistsError, match="unfinished.*images 10.*images 20"):
        write_scenes(tmp_path / "begun", 20, sequences=0)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"")
    with pytest.raises(FileExistsError, match="not empty"):
        write_scenes(tmp_path / "photos", 20)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (dict(images=4), "images=4"),
        (dict(size=16), "size=16"),
        (dict(seed=-1), "seed=-1"),
        (dict(sequences=-2), "sequences=-2"),
        (dict(workers=0), "workers=0"),
        (dict(size=96.0), "size=96.0"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path: Path, wrong: dict, word: str):
    with pytest.raises(ValueError, match=word):
        write_scenes(tmp_path / "none", **(dict(images=10) | wrong))
    assert not (tmp_path / "none").exists()


def test_splits_are_four_to_one():
    request = Request(images=100, size=96, seed=0, sequences=4)
    assert request.split_sizes(100) == {"train": 80, "val": 20}
    assert request.split_sizes(4) == {"train": 3, "val": 1}
    assert request.split_sizes(1) == {"train": 1, "val": 0}
    assert request.split_sizes(0) == {"train": 0, "val": 0}
