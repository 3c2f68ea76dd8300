"""Boxes as images, and the same number of whole images."""

from __future__ import annotations

import json
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from pretrain.data import CocoBoxes, CocoImages, RegionSource, Source, SourceError, ViewDataset
from pretrain.data.choice import choose
from pretrain.engine.check import check_config
from pretrain.engine.settings import ConfigError
from pretrain.views.recipe import ViewRecipe

WHOLE = dict(size=20, scale=(1.0, 1.0), ratio=(1e-3, 1e3), flip=0.0)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two black images with grey rectangles of 100 + 10 · annotation id, listed out of order."""
    boxes = {1: (7, 3, (10, 10, 40, 20)), 2: (9, 90, (0, 30, 50, 30)), 3: (7, 5, (60, 20, 60, 50))}
    images = {
        7: ("b.png", 80, 60),
        9: ("a.png", 60, 70),
    }  # image 7 is cut off on the right by the box of 3
    (tmp_path / "images").mkdir()
    for image_id, (name, width, height) in images.items():
        pixels = np.zeros((height, width, 3), np.uint8)
        for number, (owner, _, (x, y, w, h)) in boxes.items():
            if owner == image_id:
                pixels[y : y + h, x : x + w] = 100 + 10 * number
        assert cv2.imwrite(str(tmp_path / "images" / name), pixels)
    annotations = [
        dict(id=n, image_id=i, category_id=c, bbox=list(b)) for n, (i, c, b) in boxes.items()
    ]
    content = dict(
        images=[dict(id=i, file_name=n, width=w, height=h) for i, (n, w, h) in images.items()],
        categories=[dict(id=90, name="zebra"), dict(id=3, name="dog"), dict(id=5, name="cat")],
        annotations=[
            *annotations,
            dict(id=4, image_id=7, category_id=3, bbox=[0, 0, 80, 60], iscrowd=1),
            dict(id=5, image_id=7, category_id=3, bbox=[5, 5, 0, 30]),
            dict(id=6, image_id=9, category_id=3, bbox=[70, 5, 30, 30]),  # wholly outside
            dict(id=7, image_id=9, category_id=3, bbox=[5, 5, 8, 8]),
        ],
    )
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def make(coco: Path, **options: object) -> CocoBoxes:
    return CocoBoxes(coco, coco.parent / "images", **{"min_size": 9, **options})


def test_order_labels_and_what_is_left_out(coco: Path) -> None:
    source = make(coco, label="category")
    assert [Path(source.name(i)).name for i in range(len(source))] == ["a.png", "b.png", "b.png"]
    assert source.classes == ("dog", "cat", "zebra") and [source.label(i) for i in range(3)] == [
        2,
        0,
        1,
    ]
    assert isinstance(source, Source) and isinstance(source, RegionSource)
    plain = make(coco)
    assert plain.classes is None and plain.label(0) is None
    assert (
        len(make(coco, min_size=8)) == 4 and len(make(coco, min_size=21)) == 1
    )  # 60 × 50 shows 20 × 40 px
    assert len(make(coco, min_size=0)) == 4  # boxes without area never


def test_boxes_grow_by_the_margin_and_end_at_the_border(coco: Path) -> None:
    source = make(coco, margin=0.1)
    assert source.box(0) == pytest.approx((0, 27 / 70, 55 / 60, 63 / 70))
    assert source.box(1) == pytest.approx((6 / 80, 8 / 60, 54 / 80, 32 / 60))
    assert source.box(2) == pytest.approx((58 / 80, 16 / 60, 1, 1))
    assert make(coco, margin=0.0).box(2) == pytest.approx((60 / 80, 20 / 60, 1, 1))


def test_views_show_the_box(coco: Path) -> None:
    data = ViewDataset(make(coco, margin=0.0), ViewRecipe({"global": [WHOLE]}))
    for index, grey in enumerate((120, 110, 130)):
        views = data[0, index].views["global"]
        assert (views.images == grey).all()
        assert torch.equal(views.geometry[0], torch.eye(2, 3, dtype=torch.float64))
    wider = (
        ViewDataset(make(coco, margin=0.2), ViewRecipe({"global": [WHOLE]}))[0, 1]
        .views["global"]
        .images
    )
    assert wider[0, 0, 10, 10] == 110 and wider[0, 0, 0, 0] == 0


def test_equal_count_for_both_arms(coco: Path) -> None:
    whole = CocoImages(coco, coco.parent / "images", count=2)
    assert len(whole) == len(make(coco, count=2)) == 2
    one = CocoImages(coco, coco.parent / "images", label="largest", count=1, seed=3)
    everything = CocoImages(coco, coco.parent / "images", label="largest")
    ((kept,),) = [[i for i in range(2) if everything.name(i) == one.name(0)]]
    assert one.label(0) == everything.label(kept) and one.classes == everything.classes
    labels = make(coco, label="category")
    for seed in range(5):
        chosen = make(coco, label="category", count=2, seed=seed)
        pairs = {(labels.box(i), labels.label(i)) for i in range(3)}
        assert {(chosen.box(i), chosen.label(i)) for i in range(2)} < pairs


def test_choices_are_fixed_nested_and_fair() -> None:
    def pick(available: int, count: int | None, seed: int) -> list[int]:
        return choose(available, count, seed, source="X", unit="images").tolist()

    assert pick(4, None, 0) == [0, 1, 2, 3] == pick(4, 4, 9)
    assert pick(50, 7, 1) == pick(50, 7, 1) == sorted(pick(50, 7, 1)) != pick(50, 7, 2)
    assert set(pick(50, 7, 1)) < set(pick(50, 20, 1))
    counts = np.bincount([i for seed in range(400) for i in pick(10, 3, seed)], minlength=10)
    assert counts.sum() == 1200 and 80 < counts.min() and counts.max() < 165  # 120 ± 9
    assert pick(1000, 4, 0) == [441, 717, 822, 935]  # the same on every machine
    for count in (0, 5, -1):
        with pytest.raises(
            ValueError, match=rf"X: count={count}; legal are 1 to 4, the number of images there are"
        ):
            pick(4, count, 0)
    with pytest.raises(ValueError, match="X: seed=-1"):
        pick(4, None, -1)


def test_survives_pickling(coco: Path) -> None:
    source = pickle.loads(pickle.dumps(make(coco, label="category")))
    assert source.box(1) == make(coco).box(1) and source.label(1) == 0


def test_errors(coco: Path) -> None:
    for options, message in (
        (dict(label="largest"), "label='largest'; legal are None and 'category'"),
        (dict(margin=-0.1), "margin=-0.1; legal"),
        (dict(min_size=float("nan")), "min_size=nan; legal"),
        (dict(min_size=500), "has 7 annotations, but no box of at least 500 × 500 px"),
        (dict(count=4), "count=4; legal are 1 to 3, the number of boxes"),
    ):
        with pytest.raises(ValueError, match=message):
            make(coco, **options)
    with pytest.raises(SourceError, match=r"a.png does not exist; set root"):
        CocoBoxes(coco, coco.parent, min_size=9)
    content = json.loads(coco.read_text())
    for change, message in (
        (dict(images=[dict(id=7, file_name="b.png")]), "width"),
        (
            dict(annotations=[dict(image_id=1, bbox=[0, 0, 1, 1])]),
            "1 of 1 annotations belong to no image",
        ),
        (
            dict(annotations=[dict(image_id=7, category_id=3, bbox=[0, 0, 1])]),
            "bbox of four numbers",
        ),
        (dict(categories=[dict(name="dog")]), "each of 'categories' needs id and name"),
        (dict(annotations=None), "CocoBoxes: .*no list 'annotations'"),
    ):
        coco.write_text(json.dumps(content | change))
        with pytest.raises(SourceError, match=message):
            make(coco, label="category")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "10", None, True])
def test_boxes_that_are_no_numbers(coco: Path, wrong: object) -> None:
    """Before, nan made a box of the whole image: min and max let it through."""
    content = json.loads(coco.read_text())
    content["annotations"][1]["bbox"][2] = wrong
    coco.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="annotation 2 has the bbox .* four numbers"):
        make(coco)


@pytest.mark.parametrize(("width", "height"), [(float("nan"), 60), (80, 0), ("80", 60)])
def test_sizes_that_are_no_numbers(coco: Path, width: object, height: object) -> None:
    content = json.loads(coco.read_text())
    content["images"][0] |= dict(width=width, height=height)
    coco.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="image 'b.png' has width .* legal are pixels"):
        make(coco)


def turned_photo(path: Path, orientation: int = 6) -> None:
    """A landscape of 60 × 40 stored pixels that its EXIF block turns upright to 40 × 60."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path, exif=exif)


def one_box(coco: Path, width: int, height: int) -> CocoBoxes:
    image = dict(id=1, file_name="turned.jpg", width=width, height=height)
    box = dict(id=1, image_id=1, bbox=[2, 2, 30, 30])
    coco.write_text(json.dumps(dict(images=[image], annotations=[box])))
    return make(coco)


def test_sizes_from_before_the_exif_turn_are_refused(coco: Path) -> None:
    turned_photo(coco.parent / "images" / "turned.jpg")
    with pytest.raises(
        SourceError, match="turned.jpg: .* 60 × 40 px: the size before the EXIF turn, .* 40 × 60"
    ):
        one_box(coco, 60, 40)
    with pytest.raises(SourceError, match="image of 50 × 50 px, but"):
        one_box(coco, 50, 50)
    assert one_box(coco, 40, 60).box(0) and one_box(coco, 400, 601).box(
        0
    )  # another scale shifts nothing
    data = ViewDataset(one_box(coco, 40, 60), ViewRecipe({"global": [WHOLE]}))
    assert not data[0, 0].skipped


def test_sizes_are_checked_when_files_are_read(coco: Path) -> None:
    source = make(coco)
    turned_photo(coco.parent / "images" / "turned.jpg")
    (coco.parent / "images" / "turned.jpg").replace(coco.parent / "images" / "a.png")
    sample = ViewDataset(source, ViewRecipe({"global": [WHOLE]}))[0, 0]
    assert (
        sample.ids != 0
        and "a.png: boxes were drawn in an image of 60 × 70 px" in sample.skipped[0][1]
    )


def test_orphans_are_counted_and_told(coco: Path) -> None:
    content = json.loads(coco.read_text())
    content["annotations"].append(dict(id=8, image_id=77, category_id=3, bbox=[0, 0, 20, 20]))
    coco.write_text(json.dumps(content))
    with pytest.warns(
        UserWarning, match="1 of 8 annotations belong to no image .* annotation 8 has image_id 77"
    ):
        assert len(make(coco)) == 3


def test_config_names_are_checked(coco: Path) -> None:
    source = dict(
        type="CocoBoxes",
        annotations=str(coco),
        root=str(coco.parent / "images"),
        min_size=9,
        count=2,
    )
    assert len(DATASETS.build(dict(source))) == 2
    recipe = Path(__file__).resolve().parents[3] / "configs" / "quick" / "boxes_scenes64.py"
    cfg = Config.fromfile(recipe)
    check_config(cfg)
    cfg.source.margins = 0.2
    with pytest.raises(ConfigError, match="did you mean 'margin'"):
        check_config(cfg)


def test_generated_scenes_give_equal_counts(tmp_path: Path) -> None:
    from pretrain.data.scenes import write_scenes

    write_scenes(tmp_path, 10, size=48, seed=0)
    common = dict(
        annotations=tmp_path / "instances_train.json", root=tmp_path / "images" / "train", count=8
    )
    whole, boxes = CocoImages(**common), CocoBoxes(**common, min_size=8, label="category")
    assert len(whole) == len(boxes) == 8 and len(boxes.classes) == 10
    view = dict(size=16)
    sample = ViewDataset(boxes, ViewRecipe({"global": [view, view]}))[0, 5]
    assert sample.views["global"].images.shape == (2, 3, 16, 16) and sample.labels == boxes.label(5)


def test_real_photos(shared_data: Path, tmp_path: Path) -> None:
    """100 COCO photographs; the segments of the panoptic file that are things have boxes as COCO's
    instances do.
    """
    with tarfile.open(shared_data / "multi_coco_train100.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "multi_coco_train100"
    (listing,) = (root / "panoptic_segmentation" / "annotations").glob("*.json")
    panoptic = json.loads(listing.read_text())
    things = {category["id"] for category in panoptic["categories"] if category["isthing"]}
    segments = [
        dict(segment, image_id=a["image_id"])
        for a in panoptic["annotations"]
        for segment in a["segments_info"]
        if segment["category_id"] in things
    ]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(panoptic | dict(annotations=segments)))
    (images,) = (root / "images").iterdir()
    boxes = CocoBoxes(path, images, min_size=64, count=100, label="category")
    whole = CocoImages(path, images, count=100)
    assert len(boxes) == len(whole) == 100
    view = dict(size=32, scale=(0.2, 1.0))
    data = ViewDataset(boxes, ViewRecipe({"global": [view, view]}))
    samples = [data[0, index] for index in range(100)]
    assert not any(sample.skipped for sample in samples)
    assert all(len(torch.unique(sample.views["global"].images)) > 8 for sample in samples)
