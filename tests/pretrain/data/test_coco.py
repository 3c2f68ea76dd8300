"""COCO files that are not as they should be: each is refused with the id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pretrain.data.coco import CocoFile
from pretrain.data.folders import SourceError
from pretrain.data.sources import CocoImages


def write(path: Path, **change: Any) -> Path:
    """Two images of one instance each, with ``change``."""
    content = dict(
        images=[dict(id=1, file_name="a.jpg"), dict(id=2, file_name="b.jpg")],
        categories=[dict(id=3, name="dog"), dict(id=5, name="cat")],
        annotations=[
            dict(id=10, image_id=1, category_id=3, area=4.0, bbox=[0, 0, 2, 2]),
            dict(id=11, image_id=2, category_id=5, area=9.0, bbox=[0, 0, 3, 3]),
        ],
    )
    (path / "c.json").write_text(json.dumps(content | change))
    for row in content["images"]:
        (path / row["file_name"]).touch()
    return path / "c.json"


def labels(path: Path, **change: Any) -> list[int | None]:
    source = CocoImages(write(path, **change), path, label="largest")
    return [source.label(i) for i in range(len(source))]


def annotation(**change: Any) -> dict[str, Any]:
    return dict(id=12, image_id=1, category_id=5, area=100.0, bbox=[0, 0, 10, 10]) | change


def test_a_clean_file(tmp_path: Path) -> None:
    assert labels(tmp_path) == [0, 1]
    other = annotation(id=13, image_id=2, category_id=3)
    assert labels(tmp_path, annotations=[annotation(), other]) == [1, 0]
    # before, an area below -1 gave another class
    assert labels(tmp_path, annotations=[annotation(area=-50.0)]) == [1, -1]


IMAGES = [dict(id=1, file_name="a.jpg"), dict(id=2, file_name="b.jpg")]
CATEGORIES = [dict(id=3, name="dog"), dict(id=5, name="cat")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(images=[*IMAGES, dict(id=2, file_name="c.jpg")]),
            "'images' has the id 2 twice, for 'b.jpg' and 'c",
        ),
        (
            dict(categories=[*CATEGORIES, dict(id=3, name="cow")]),
            "'categories' has the id 3 twice, for 'dog'",
        ),
        (
            dict(annotations=[annotation(), annotation(image_id=2)]),
            "'annotations' has annotation 12 twice",
        ),
        (
            dict(images=[dict(id="1", file_name="a.jpg")]),
            "annotation 10 has image_id 1, .* text, such as '1'",
        ),
        (
            dict(images=[IMAGES[0], dict(id="2", file_name="b.jpg")]),
            "ids that are numbers and ids that are text",
        ),
        (
            dict(annotations=[annotation(category_id="5")]),
            "annotation 12 has category_id '5', .* numbers, such as 3",
        ),
        (
            dict(annotations=[annotation(category_id=6)]),
            "annotation 12 has category_id 6, not in 'categories'",
        ),
        (dict(annotations=[annotation(image_id=None)]), "annotation 12 has image_id None"),
        (
            dict(annotations=[annotation(image_id=7)]),
            "1 of 1 annotations belong to no image .* image_id 7",
        ),
        (dict(annotations=[annotation(area=float("nan"))]), "annotation 12 has the area nan"),
        (
            dict(annotations=[annotation(bbox=[0, float("nan"), 1, 1])]),
            "annotation 12 has the bbox .*nan",
        ),
        (
            dict(annotations=[annotation(bbox=[0, 0, float("inf"), 1])]),
            "annotation 12 has the bbox .*inf",
        ),
        (dict(annotations=[]), "none of the 2 images has an annotation that is not a crowd"),
        (
            dict(annotations=[annotation(iscrowd=1)]),
            "none of the 2 images has an annotation that is not a crowd",
        ),
        (dict(annotations=[3]), "each of 'annotations' needs image_id"),
        (dict(images=["a.jpg"]), "each of 'images' needs file_name and id"),
        (dict(images=[dict(id=[1], file_name="a.jpg")]), r"'images' has the id \[1\]"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        labels(tmp_path, **change)


def test_some_orphans_are_told(tmp_path: Path) -> None:
    orphans = [annotation(), annotation(id=13, image_id=7), annotation(id=14, image_id=8)]
    with pytest.warns(
        UserWarning, match="2 of 3 annotations belong to no image .* annotation 13 has image_id 7"
    ):
        assert labels(tmp_path, annotations=orphans) == [1, -1]


def test_ids_may_be_text_everywhere_and_whole_floats(tmp_path: Path) -> None:
    images = [dict(id="1", file_name="a.jpg"), dict(id="2", file_name="b.jpg")]
    assert labels(tmp_path, images=images, annotations=[annotation(image_id="2")]) == [-1, 1]
    assert labels(tmp_path, annotations=[annotation(image_id=2.0, category_id=5.0)]) == [-1, 1]


@pytest.mark.parametrize("text", ['{"images": [], "images": []}', "[" * 100_000, "{", "\xff"])
def test_json_that_is_none_or_says_a_thing_twice(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text, encoding="latin-1")
    with pytest.raises(SourceError, match="X: .*c.json (is not valid json|is nested too deeply)"):
        CocoFile("X", tmp_path / "c.json", labels=False)
