"""Image sets: the published layouts by small made-up folders, what is read from them, and what is
said of mistakes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmarks.data import ImageSets
from benchmarks.evaluate.run import make_tasks
from benchmarks.evaluate.suite import make_task
from pretrain.data.scenes import write_scenes


def put(path: Path, value: int = 0, size: tuple[int, int] = (20, 30)) -> Path:
    """Writes an image (H, W) of one grey value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


# GOT-10k


@pytest.fixture
def videos(tmp_path: Path, write_got10k: Callable[..., Path]) -> Path:
    return write_got10k(tmp_path / "GOT-10k/train")


def test_a_video_gives_one_frame_of_each_level_of_cover(videos: Path) -> None:
    data = ImageSets(videos, "got10k")
    assert data.factors == ("occlusion",) and data.side == 128 and len(data) == 4 * 9
    sets = data.sets("occlusion")
    assert sets.class_names == ("black bear", "bicycle") and sets.label.tolist() == [0, 1, 0, 1]
    assert sets.of_image.tolist() == [number for number in range(4) for _ in range(9)]
    frames = [int(path.stem) - 1 for path in data.scored_files]
    assert [frame % 9 for frame in frames] == 4 * list(range(9))
    assert 11 not in frames  # its level is 2, but there is no object in it
    # Levels 0 and 1 have two frames each; the draw is that of RandomState(1992), video by video.
    random, expected = np.random.RandomState(1992), []
    for _ in range(4):
        for level in range(9):
            candidates = [level, level + 9] if level < 2 else [level]
            expected.append(random.choice(candidates))
    assert frames == expected
    assert data.images[3].box == (3.0, 2.5, 13.0, 14.5)
    protocol = data.protocol
    assert protocol["occlusion"] == dict(classes=2, sets=4, images=36)


def test_every_second_set_of_each_class(videos: Path) -> None:
    half, data = ImageSets(videos, "got10k", every=2), ImageSets(videos, "got10k")
    assert half.protocol["occlusion"] == dict(classes=2, sets=2, images=18)
    assert half.scored_files == data.scored_files[:18]
    assert half.protocol["content"] != data.protocol["content"]


def test_the_folder_around_train_is_the_same_data(videos: Path, tmp_path: Path) -> None:
    around = ImageSets(videos.parent, "got10k")
    assert [one.path for one in around.images] == ImageSets(videos, "got10k").scored_files


def test_videos_whose_cover_spans_too_little_are_left_out(
    tmp_path: Path, write_got10k: Callable[..., Path]
) -> None:
    assert len(ImageSets(write_got10k(tmp_path / "five", levels=5), "got10k")) == 4 * 5
    with pytest.raises(ValueError, match="in no video do the levels of cover span 4 or more"):
        ImageSets(write_got10k(tmp_path / "four", levels=4), "got10k")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cover.label", "1\n2\n", r"have \(12, 2, 12\) lines; each has one for every frame"),
        ("groundtruth.txt", "1,2,3\n", r"groundtruth\.txt:1: '1,2,3' is not 4 numbers"),
        ("absence.label", "no\n", r"absence\.label:1: 'no' is not 1 numbers"),
        ("meta_info.ini", "[METAINFO]\n", r"meta_info\.ini has no line 'object_class: NAME'"),
    ],
)
def test_damaged_files_of_a_video_are_named(
    videos: Path, name: str, text: str, message: str
) -> None:
    (videos / "GOT-10k_Train_000003" / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        ImageSets(videos, "got10k")


def test_missing_files_of_got10k_are_named(videos: Path) -> None:
    (videos / "GOT-10k_Train_000002/00000004.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"00000004\.jpg is missing, but the data set's"):
        ImageSets(videos, "got10k")
    (videos / "GOT-10k_Train_000002/cover.label").unlink()
    with pytest.raises(ValueError, match=r"cover\.label does not exist"):
        ImageSets(videos, "got10k")
    (videos / "list.txt").unlink()
    with pytest.raises(FileNotFoundError, match="has no list.txt, neither itself nor in train/"):
        ImageSets(videos, "got10k")


def test_boxes_are_cut_out_and_resized_without_their_aspect(tmp_path: Path, videos: Path) -> None:
    data = ImageSets(videos, "got10k")
    pixels = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    path = data.images[5].path.with_suffix(".png")
    Image.fromarray(np.repeat(pixels[..., None], 3, 2)).save(path)
    shutil.copy(path, data.images[5].path)  # told by its content, not by its name
    left = round(data.images[5].box[0])
    expected = Image.fromarray(pixels[2:14, left : left + 10]).resize((6, 6), Image.BILINEAR)
    assert np.array_equal(data.read(5, 6)[..., 0], np.asarray(expected))
    shown = data.picture(5, SimpleNamespace(size=None))
    assert shown.shape == (128, 128, 3)
    (images, numbers), *_ = list(data.batches(6, 4))
    assert images.shape == (4, 3, 6, 6) and numbers == [0, 1, 2, 3]
    assert np.array_equal(images[3].permute(1, 2, 0).numpy(), data.read(3, 6))


def test_a_box_outside_its_image_is_named(videos: Path) -> None:
    lines = ["40,2,10,10"] * 12
    (videos / "GOT-10k_Train_000001/groundtruth.txt").write_text("\n".join(lines))
    data = ImageSets(videos, "got10k")
    with pytest.raises(ValueError, match=r"the box \(40\.0, .*lies outside its image of 32 x 24"):
        data.read(0, 8)


# ALOI


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    root = tmp_path / "aloi"
    for number in (10, 2, 1):
        for angle in (0, 5, 10, 15):
            put(root / f"view/{number}/{number}_r{angle}.png", number + angle)
        for lamp in ("l1c1", "l2c1", "l3c2"):
            put(root / f"ill/png2/{number}/{number}_{lamp}.png", number)
    return root


def test_every_object_of_aloi_is_a_set_and_a_class(objects: Path) -> None:
    data = ImageSets(objects, "aloi")
    assert data.factors == ("viewpoint", "illumination_direction") and data.side == 128
    for factor, size in (("viewpoint", 4), ("illumination_direction", 3)):
        sets = data.sets(factor)
        assert sets.class_names == ("1", "2", "10") and sets.label.tolist() == [0, 1, 2]
        assert sets.of_image.bincount().tolist() == [size] * 3
    first = data.sets("illumination_direction").images[0]
    assert data.scored_files[first].name == "1_l1c1.png"


def test_factors_and_sets_can_be_chosen(objects: Path) -> None:
    data = ImageSets(objects, "aloi", factors="viewpoint")
    assert data.factors == ("viewpoint",) and len(data) == 12
    spec = f"aloi:{objects}?factors=illumination_direction,viewpoint"
    (task,) = make_tasks(["invariances"], [spec], [], quick=True)
    assert task.data.factors == ("viewpoint", "illumination_direction")
    assert ImageSets(objects, "aloi", factors="").factors == task.data.factors
    with pytest.raises(ValueError, match="factors='illumination_colour' is not one of viewpoint"):
        ImageSets(objects, "aloi", factors=("viewpoint", "illumination_colour"))
    with pytest.raises(ValueError, match="every=0 must be at least 1"):
        ImageSets(objects, "aloi", every=0)


def test_what_is_no_aloi_is_named(objects: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has none of the folders view, ill, col"):
        ImageSets(objects / "view", "aloi")
    (objects / "col").mkdir()
    with pytest.raises(ValueError, match="col holds no folder of an object"):
        ImageSets(objects, "aloi")
    (objects / "col/1").mkdir()
    with pytest.raises(ValueError, match="col/1 holds no image"):
        ImageSets(objects, "aloi")
    with pytest.raises(FileNotFoundError, match="root='.*nowhere' is not a folder"):
        ImageSets(tmp_path / "nowhere", "aloi")


# PASCAL3D+

Box = tuple[float, float, float, float]


def annotate(root: Path, part: str, name: str, objects: list[tuple[str, Box, Any, Any]]) -> None:
    """Writes an image and its annotation, objects as (class, box, azimuth, elevation), in the
    structure of the published files: a struct ``record`` with a struct array ``objects``.
    """
    kinds = [("class", object), ("bbox", object), ("viewpoint", object), ("difficult", object)]
    array = np.zeros((1, len(objects)), dtype=kinds)
    for number, (kind, box, azimuth, elevation) in enumerate(objects):
        viewpoint: Any = np.zeros((0, 0))
        if azimuth is not None:
            viewpoint = dict(azimuth_coarse=azimuth, elevation_coarse=elevation, distance=0.0)
        array[0, number] = (kind, np.array([box], float), viewpoint, 0)
    ending = "JPEG" if part.endswith("imagenet") else "jpg"
    put(root / f"Images/{part}/{name}.{ending}", size=(40, 60))
    path = root / f"Annotations/{part}/{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(record=dict(filename=f"{name}.{ending}", objects=array)))


BOX = (1.0, 2.0, 21.0, 32.0)


@pytest.fixture
def cars(tmp_path: Path) -> Path:
    root = tmp_path / "PASCAL3D+_release1.1"
    angles = [(10, 5), (190, -80), (45, 5), (29, 100), (359, 0), (200, 10)]
    for number, (azimuth, elevation) in enumerate(angles):
        annotate(root, "car_imagenet", f"n{number}", [("car", BOX, azimuth, elevation)])
    pair = [("car", BOX, 15, 0), ("bus", BOX, 15, 0), ("car", (30.0, 2.0, 50.0, 32.0), 20, 0)]
    annotate(root, "car_pascal", "2008_000001", [*pair, ("car", BOX, None, None)])
    annotate(root, "bus_imagenet", "n0", [("bus", BOX, 60, 0)])
    return root


def test_sets_of_pascal3d_are_bins_of_viewpoints(cars: Path) -> None:
    """Azimuth counts modulo 180 and elevation modulo 90: 190 and -80 are as 10 and 10."""
    data = ImageSets(cars, "pascal3d")
    assert data.factors == ("instance", "instance_viewpoint") and data.side == 224
    assert len(data) == 9  # of both parts, each object once, two in one image
    names = [path.stem for path in data.scored_files]
    sets = data.sets("instance")
    assert sets.class_names == ("bus", "car") and sets.label.tolist() == [0, 1, 1, 1]
    members: dict[int, list[str]] = {}
    for number, image in zip(sets.of_image.tolist(), sets.images.tolist(), strict=True):
        members.setdefault(number, []).append(names[image])
    same = ["n0", "n1", "n3", "n5", "2008_000001", "2008_000001"]
    assert list(members.values()) == [["n0"], same, ["n2"], ["n4"]]
    boxes = [data.images[i].box for i in sets.images.tolist() if names[i] == "2008_000001"]
    assert boxes == [BOX, (30.0, 2.0, 50.0, 32.0)]


def test_the_other_sets_of_pascal3d_take_one_object_of_each_side(cars: Path) -> None:
    data = ImageSets(cars.parent, "pascal3d", factors="instance_viewpoint")
    sets = data.sets("instance_viewpoint")
    sizes = sets.of_image.bincount().tolist()
    # Cars have six objects in bin 0, one in bin 1 (45) and one in bin 5 (359).
    assert sizes == [1, 3, 1, 1, 1, 1, 1] and sets.label.tolist() == [0, 1, 1, 1, 1, 1, 1]
    first = [data.scored_files[i].stem for i in sets.images[1:4].tolist()]
    assert sorted(first) == ["n0", "n2", "n4"]


def test_damage_in_pascal3d_is_named(cars: Path) -> None:
    (cars / "Images/car_imagenet/n2.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match=r"n2\.mat has no image .*car_imagenet/n2\.\*"):
        ImageSets(cars, "pascal3d")
    (cars / "Annotations/car_imagenet/n0.mat").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"n0\.mat: not readable as a MATLAB file"):
        ImageSets(cars, "pascal3d")
    with pytest.raises(FileNotFoundError, match="has no folder Annotations/CLASS_imagenet"):
        ImageSets(cars / "Images", "pascal3d")


def test_objects_without_viewpoint_only_are_refused(tmp_path: Path) -> None:
    annotate(tmp_path, "car_pascal", "a", [("car", BOX, None, None)])
    with pytest.raises(ValueError, match="no object has a box and a coarse viewpoint"):
        ImageSets(tmp_path, "pascal3d")


# Scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "set"
    return write_scenes(out, 5, size=32, sequences=0, factors=1)


def test_scenes_have_five_factors(scenes: Path) -> None:
    data = ImageSets(scenes, "scenes")
    factors = ("occlusion", "viewpoint", "illumination_direction", "illumination_colour")
    assert data.factors == (*factors, "instance")
    for factor in data.factors:
        assert data.protocol[factor] == dict(classes=10, sets=10, images=80)
        sets = data.sets(factor)
        assert set(sets.of_image.bincount().tolist()) == {8}
        kinds = {data.scored_files[i].parts[-3:-1] for i in sets.images.tolist()}
        assert kinds == {(factor, name) for name in sets.class_names}


def test_scenes_without_sets_say_how_to_draw_some(scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "scenes")
    table = tmp_path / "scenes/factors/factors.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], "x.jpg,size,disc,0000,1"]))
    with pytest.raises(ValueError, match=r"factors\.csv:2 is damaged"):
        ImageSets(tmp_path / "scenes", "scenes")
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="its columns are not image, factor, class, set, value"):
        ImageSets(tmp_path / "scenes", "scenes")
    table.unlink()
    with pytest.raises(FileNotFoundError, match="make_scenes.py OUT --factors 10"):
        ImageSets(tmp_path / "scenes", "scenes")


# All layouts


def test_the_content_is_that_of_the_files(objects: Path, tmp_path: Path) -> None:
    before = ImageSets(objects, "aloi").protocol
    shutil.copytree(objects, tmp_path / "moved")
    assert ImageSets(tmp_path / "moved", "aloi").protocol == before
    put(tmp_path / "moved/view/1/1_r5.png", size=(21, 30))
    assert ImageSets(tmp_path / "moved", "aloi").protocol["content"] != before["content"]


def test_another_layout_is_refused(objects: Path) -> None:
    with pytest.raises(ValueError, match="layout='voc' is not one of scenes, got10k, aloi"):
        ImageSets(objects, "voc")
    with pytest.raises(ValueError, match="data of ImageSets lacks layout="):
        make_task("invariances", dict(data=dict(root=objects)))
