"""Published lists of keypoint pairs: what is read of them, and what is refused."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from benchmarks.data import KeypointPairs

Write = Callable[[str, Path], Path]


@pytest.fixture
def spair(tmp_path: Path, write_point_pairs: Write) -> Path:
    return write_point_pairs("spair", tmp_path / "SPair-71k")


def test_spair_reads_points_boxes_and_viewpoints(spair: Path) -> None:
    data = KeypointPairs(spair.parent, "spair")  # also the folder around it
    assert len(data.pairs) == 12 and len(data.images) == 6 and data.relative_to == "box"
    pair, folder = data.pairs[1], spair / "PairAnnotation/test"
    content = json.loads((folder / "000001-0-2:cat.json").read_text())
    source, target = (data.images[index] for index in pair.images)
    assert (source.path.name, target.path.name) == ("0.jpg", "2.jpg")
    assert target.size == data.read(pair.target).shape[:2] == (56, 40)
    assert pair.source_points.tolist() == content["src_kps"]
    assert pair.target_points.tolist() == content["trg_kps"]
    left, top, right, bottom = content["trg_bndbox"]
    assert pair.box == (bottom - top, right - left)
    assert (pair.category, pair.viewpoint) == ("cat", 1)
    assert data.groups == [0] * 6 + [1] * 6
    assert [p.viewpoint for p in KeypointPairs(spair, "spair", viewpoint=2).pairs] == [2] * 4


def test_a_sample_is_drawn_per_category_by_its_seed(spair: Path) -> None:
    whole = KeypointPairs(spair, "spair")
    few = KeypointPairs(spair, "spair", per_category=2, seed=20)
    assert [pair.category for pair in few.pairs] == ["cat"] * 2 + ["bus"] * 2
    again = KeypointPairs(spair, "spair", per_category=2, seed=20)
    assert few.protocol == again.protocol and few.protocol["pairs"] == 4
    lists = {
        KeypointPairs(spair, "spair", per_category=2, seed=s).protocol["pair_list"]
        for s in range(5)
    }
    assert len(lists) > 1
    assert whole.protocol["pair_list"] not in lists
    assert "per_category" not in whole.protocol and few.protocol["seed"] == 20


def test_what_spair_refuses(spair: Path) -> None:
    file = spair / "PairAnnotation/test/000000-0-1:cat.json"
    content = json.loads(file.read_text())
    cases = (
        (dict(trg_kps=[[1, 2]]), r"points of the shapes \(3, 2\) and \(1, 2\)"),
        (dict(trg_kps=[[1, 2]] * 2 + [[90, 3]]), r"1\.jpg: keypoint \[90.0, 3.0\] lies outside"),
        (dict(trg_kps=[[1, None]] * 3), r"lies outside its image"),
        (dict(trg_kps=[1, 2, 3]), r"cat\.json: points must be a list of \[x, y\]"),
        (dict(src_kps=[], trg_kps=[]), "points must be a list"),
        (dict(trg_imname="0.jpg", trg_kps=content["src_kps"]), "an image paired with itself"),
        (dict(trg_bndbox=[1, 2, 3]), r"0-1:cat\.json is not of this layout, or damaged: .*unpack"),
        (dict(src_imsize=None), r"0-1:cat\.json is not of this layout"),
        (dict(viewpoint_variation="far"), r"0-1:cat\.json is not of this layout"),
        (dict(trg_imname="9.jpg"), r"JPEGImages/cat/9\.jpg is missing"),
    )
    for change, message in cases:
        file.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=message):
            KeypointPairs(spair, "spair")
    del content["trg_bndbox"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"cat\.json has no entry 'trg_bndbox'"):
        KeypointPairs(spair, "spair")
    file.unlink()
    with pytest.raises(ValueError, match=r"000000-0-1:cat\.json is missing: .* with a colon"):
        KeypointPairs(spair, "spair")
    with pytest.raises(ValueError, match=r"Layout/large/val\.txt does not exist"):
        KeypointPairs(spair, "spair", part="val")
    with pytest.raises(ValueError, match="part='tst' is not one of test, val, trn; did you mean"):
        KeypointPairs(spair, "spair", part="tst")


def test_an_image_of_another_size_than_its_annotation_is_named(spair: Path) -> None:
    Image.fromarray(np.zeros((20, 28, 3), np.uint8)).save(spair / "JPEGImages/cat/0.jpg")
    data = KeypointPairs(spair, "spair")
    with pytest.raises(ValueError, match=r"0\.jpg has 28 x 20 pixels, .* annotated on 56 x 40"):
        data.read(0)


def test_options_that_a_layout_does_not_know(
    tmp_path: Path, write_willow: Callable[[Path], Path], write_point_pairs: Write
) -> None:
    willow = write_willow(tmp_path / "willow")
    with pytest.raises(ValueError, match="layout 'pfwillow' has no parts"):
        KeypointPairs(willow, part="test")
    with pytest.raises(ValueError, match="layout 'pfwillow' does not annotate viewpoints"):
        KeypointPairs(willow, viewpoint=1)
    with pytest.raises(ValueError, match="viewpoint=3 is not one of"):
        KeypointPairs(willow, viewpoint=3)
    with pytest.raises(ValueError, match="per_category=-1 must be 0"):
        KeypointPairs(willow, per_category=-1)


def test_pf_pascal_reads_the_list(tmp_path: Path, write_point_pairs: Write) -> None:
    root = write_point_pairs("pfpascal", tmp_path / "PF-dataset-PASCAL")
    data = KeypointPairs(tmp_path, "pfpascal")
    assert data.relative_to == "image" and data.protocol["part"] == "test"
    assert [pair.category for pair in data.pairs] == ["aeroplane", "car"]
    assert data.pairs[0].source_points.tolist() == [[3, 4], [9, 8], [20.5, 30]]
    assert data.pairs[0].target_points.tolist() == [[5, 6], [11, 10], [22, 31]]
    assert [pair.box for pair in data.pairs] == [(20, 30), None]
    table = root / "test_pairs_pf_pascal.csv"
    text = table.read_text()
    for old, new, message in (
        (",7,", ",21,", r"test_pairs_pf_pascal\.csv:3: must be source, target, class 1 to 20"),
        (",5;11;22,", ",5;11,", r"csv:2: must be source"),
        (",6;10;31", "", r"csv:2: 6 columns, 7 needed"),
    ):
        table.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=message):
            KeypointPairs(tmp_path, "pfpascal")
    table.unlink()
    with pytest.raises(ValueError, match="has neither test_pairs_pf_pascal.csv nor test_pairs.csv"):
        KeypointPairs(tmp_path, "pfpascal")


def test_the_list_of_pf_willow_gives_the_pairs_of_its_folders(
    shared_data: Path, tmp_path: Path
) -> None:
    """On the real images: a list written of the files of points is read as these are."""
    with tarfile.open(shared_data / "corr_pfwillow.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path.parent for path in tmp_path.rglob("car(G)"))
    lines = ["imageA,imageB" + ",X" * 40]
    for source, target in permutations(sorted((folder / "car(G)").glob("*.mat"))[:3], 2):
        cells = [f"PF-dataset/car(G)/{path.stem}.png" for path in (source, target)]
        for path in (source, target):
            cells.extend(map(repr, loadmat(path)["pts_coord"].ravel().tolist()))
        lines.append(",".join(cells))
    (folder / "test_pairs.csv").write_text("\n".join(lines))
    listed = KeypointPairs(folder, "willow-list")
    whole = KeypointPairs(tmp_path)
    by_names = {_names(whole, pair): pair for pair in whole.pairs}
    assert len(listed.pairs) == 6
    for pair in listed.pairs:
        other = by_names[_names(listed, pair)]
        assert np.array_equal(pair.source_points, other.source_points)
        assert np.array_equal(pair.target_points, other.target_points) and pair.box == other.box


def _names(data: KeypointPairs, pair: object) -> tuple[str, ...]:
    return tuple(str(data.images[index].path) for index in pair.images)


def test_ap10k_makes_pairs_of_one_and_of_two_species(
    tmp_path: Path, write_point_pairs: Write
) -> None:
    write_point_pairs("ap10k", tmp_path)
    parts = {}
    for part in ("test", "test_cross_species", "test_cross_family"):
        parts[part] = KeypointPairs(tmp_path, "ap10k", part=part)
        again = KeypointPairs(tmp_path, "ap10k", part=part)
        assert again.protocol == parts[part].protocol and again.protocol["part"] == part
    species = {"cat": "Felidae", "lion": "Felidae", "dog": "Canidae", "wolf": "Canidae"}
    for part, data in parts.items():
        for pair in data.pairs:
            first, second = (data.images[index].folder for index in pair.images)
            same = (first == second, species[first] == species[second])
            assert same == ((True, True) if part == "test" else (False, "species" in part))
            assert len(pair.source_points) >= 3 and pair.box == (20, 30)
    assert len({image.path for image in parts["test"].images}) <= 31  # the image of two animals
    assert not any(image.path.name == f"{0:012d}.jpg" for image in parts["test"].images)
    assert len(parts["test_cross_family"].pairs) == 30
    with pytest.raises(ValueError, match="no pair in part 'val'"):
        KeypointPairs(tmp_path, "ap10k", part="val")  # 8 images of a species are all test


def test_ap10k_pairs_do_not_depend_on_the_order_in_its_files(
    tmp_path: Path, write_point_pairs: Write
) -> None:
    write_point_pairs("ap10k", tmp_path)
    before = KeypointPairs(tmp_path, "ap10k", part="test_cross_species").protocol
    for file in (tmp_path / "annotations").iterdir():
        content = json.loads(file.read_text())
        for entry in content.values():
            entry.reverse()
        file.write_text(json.dumps(content))
    assert KeypointPairs(tmp_path, "ap10k", part="test_cross_species").protocol == before
    content = json.loads(file.read_text())
    for broken in (dict(images=[1]), dict(annotations=None), dict(categories=[dict(name="cat")])):
        file.write_text(json.dumps(content | broken))
        with pytest.raises(ValueError, match=rf"{file.name} is not of this layout"):
            KeypointPairs(tmp_path, "ap10k")
    file.unlink()
    with pytest.raises(ValueError, match="is missing: pairs are made of all three parts"):
        KeypointPairs(tmp_path, "ap10k")
