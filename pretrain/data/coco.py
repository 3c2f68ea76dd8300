"""COCO's json files, checked before anything is taken from them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrain.data.folders import SourceError, expanded
from pretrain.data.listings import read_json

Id = int | str


@dataclass(frozen=True)
class Instance:
    """An annotation that is not a crowd.

    Attributes:
        file: that it is from. called: what messages call it.
        image: id of its image. category: id of its category, None if the file has no categories or
            they do not matter.
        row: the annotation itself.
    """

    file: CocoFile
    called: str
    image: Id
    category: Id | None
    row: dict[str, Any]

    def box(self) -> tuple[float, float, float, float]:
        """Returns x, y, width, height in pixels; raises SourceError unless all are finite."""
        box = self.row.get("bbox")
        if not isinstance(box, Sequence) or len(box) != 4 or not all(map(_is_finite, box)):
            raise self.file.fail(
                f"{self.called} has the bbox {box!r}; legal is a bbox of four numbers, x, y, width "
                "and height"
            )
        return tuple(box)

    def area(self) -> float:
        """Returns the area in square pixels, of the box where the file does not tell (some
        converters leave it out).

        Raises:
            SourceError: area or box are no numbers, or there is neither.
        """
        area, box = self.row.get("area"), self.box() if self.row.get("bbox") else None
        if area is None and box is None:
            raise self.file.fail(f"{self.called} needs image_id, category_id, and area or bbox")
        if area is None:
            return box[2] * box[3]
        if not _is_finite(area):
            raise self.file.fail(f"{self.called} has the area {area!r}; legal is a number")
        return area


class CocoFile:
    """The lists of a COCO json file. Ids are whole numbers or text, the same kind everywhere, and
    none comes twice.

    Args:
        source: The caller's name, for messages.
        path: The file.
        labels: Whether categories matter.
        instances: Whether annotations matter; with labels they do.

    Attributes:
        images: id -> row of 'images', which has a file_name.
        categories: (id, name), sorted by id.
        orphans: how many annotations belong to an image that the file does not list; they are left
            out.

    Raises:
        SourceError: the file is missing, no json, lacks a list or a key, has an id twice, ids of
            both kinds, or annotations none of which belongs to one of its images.
    """

    def __init__(
        self, source: str, path: str | Path, *, labels: bool, instances: bool = False
    ) -> None:
        self.source, self.path = source, expanded(path)
        wanted = ["images"] + ["annotations"] * (labels or instances) + ["categories"] * labels
        content = self._read(wanted)
        self.images = self._by_id(content["images"], "images", ("file_name", "id"))
        categories = (
            self._by_id(content["categories"], "categories", ("id", "name")) if labels else {}
        )
        self.categories: list[tuple[Id, str]] = sorted(
            (key, row["name"]) for key, row in categories.items()
        )
        self._category_ids = categories.keys() if labels else None
        self.annotations: list[Any] = content["annotations"] if labels or instances else []
        self.orphans = 0

    def fail(self, reason: object) -> SourceError:
        """Returns the error that names caller and file."""
        return SourceError(f"{self.source}: {self.path}: {reason}")

    def _read(self, wanted: list[str]) -> dict[str, list[Any]]:
        if not self.path.is_file():
            raise SourceError(
                f"{self.source}: annotations={self.path} does not exist; legal is a COCO json file"
            )
        content = read_json(self.source, self.path)
        missing = [
            key
            for key in wanted
            if not isinstance(content, dict) or not isinstance(content.get(key), list)
        ]
        if missing:
            lists = ", ".join(map(repr, missing))
            raise SourceError(
                f"{self.source}: {self.path} has no list {lists}; legal is a COCO json file"
            )
        return content

    def _by_id(self, rows: list[Any], kind: str, keys: tuple[str, str]) -> dict[Id, dict[str, Any]]:
        """Returns the rows by their ids."""
        text = next(key for key in keys if key != "id")
        known: dict[Id, dict[str, Any]] = {}
        for row in rows:
            if not isinstance(row, dict) or "id" not in row or not isinstance(row.get(text), str):
                raise self.fail(
                    f"each of {kind!r} needs {keys[0]} and {keys[1]}, not so {_short(row)}"
                )
            key = _id(row["id"])
            if key is None:
                raise self.fail(
                    f"{kind!r} has the id {row['id']!r}; legal are whole numbers, or text for all"
                )
            if key in known:
                raise self.fail(
                    f"{kind!r} has the id {key!r} twice, for {known[key][text]!r} and "
                    f"{row[text]!r}; were files merged without renumbering? Annotations would "
                    "go to the wrong one"
                )
            known[key] = row
        kinds = {type(key): key for key in known}
        if len(kinds) > 1:
            raise self.fail(
                f"{kind!r} has ids that are numbers and ids that are text ({kinds[int]}, "
                f"{kinds[str]!r}); "
                "take one"
            )
        return known

    def instances(self) -> Iterator[Instance]:
        """Yields the annotations that are no crowds and belong to an image of the file, in the
        file's order.

        Raises:
            SourceError: see the class.
        """
        seen: set[Id] = set()
        self.orphans, first = 0, ""
        for place, row in enumerate(self.annotations, 1):
            called = _called(row, place)
            if not isinstance(row, dict) or "image_id" not in row:
                raise self.fail(
                    "each of 'annotations' needs image_id, category_id, and area or bbox, not so "
                    f"{called}"
                )
            if row.get("id") is not None:
                self._require_new(_id(row["id"]), seen, called)
            image = self._reference(row, "image_id", self.images.keys(), called)
            if image not in self.images:
                self.orphans, first = self.orphans + 1, first or f"{called} has image_id {image!r}"
                continue
            if not row.get("iscrowd"):
                yield Instance(self, called, image, self._category(row, called), row)
        if self.orphans:
            self._tell_orphans(first)

    def size(self, key: Id) -> tuple[float, float]:
        """Returns (width, height) of an image in pixels; raises SourceError unless above 0."""
        row = self.images[key]
        size = row.get("width"), row.get("height")
        if not all(_is_finite(side) and side > 0 for side in size):
            raise self.fail(
                f"image {row['file_name']!r} has width {size[0]!r} and height {size[1]!r}; legal "
                "are pixels"
            )
        return size

    def _require_new(self, key: Id | None, seen: set[Id], called: str) -> None:
        if key is None or key in seen:
            raise self.fail(
                f"'annotations' has {called} twice; were files merged without renumbering?"
                if key is not None
                else f"{called}: legal ids are whole numbers or text"
            )
        seen.add(key)

    def _category(self, row: dict[str, Any], called: str) -> Id | None:
        if self._category_ids is None:
            return None
        if "category_id" not in row:
            raise self.fail(f"{called} needs image_id, category_id, and area or bbox")
        category = self._reference(row, "category_id", self._category_ids, called)
        if category not in self._category_ids:
            raise self.fail(f"{called} has category_id {category!r}, not in 'categories'")
        return category

    def _reference(self, row: dict[str, Any], name: str, known: Any, called: str) -> Id:
        """Returns the id that a row refers to; raises SourceError for text in place of numbers."""
        key = _id(row[name])
        there = next(iter(known), key)
        if key is None or type(key) is not type(there):
            kinds = {int: "numbers", str: "text"}
            raise self.fail(
                f"{called} has {name} {row[name]!r}, but the ids it refers to are "
                f"{kinds.get(type(there))}, such as {there!r}; write both alike"
            )
        return key

    def _tell_orphans(self, first: str) -> None:
        share = f"{self.orphans} of {len(self.annotations)}"
        count = f"{share} annotations belong to no image that the file lists"
        if self.orphans == len(self.annotations):
            raise self.fail(f"{count}: {first}")
        warnings.warn(
            f"{self.source}: {self.path}: {count} and are left out; the first: {first}",
            stacklevel=3,
        )


def _id(value: Any) -> Id | None:
    """Returns an id, None for what is none; 9.0, which tables write for 9, is 9."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _called(row: Any, place: int) -> str:
    if isinstance(row, dict) and row.get("id") is not None:
        return f"annotation {row['id']!r}"
    return f"the annotation in place {place}"


def _short(row: Any) -> str:
    text = repr(row)
    return text if len(text) < 80 else text[:77] + "..."
