"""What a part takes of its images: options as configs and command lines give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.data.selection import BOTH, Parts, Selection

PLAIN: dict[str, Any] = dict(every=(1, 1), limit=(None, None), names=(None, None))


def test_the_usual_parts_take_everything() -> None:
    assert Parts.of("train", "val", **PLAIN) == BOTH
    assert BOTH.selections == (Selection(), Selection())
    assert BOTH.protocol == dict(train="train", val="val", every=[1, 1], limit=[None, None])


def test_each_part_has_its_own_options() -> None:
    parts = Parts.of(
        "fold1",
        "fold2",
        every=[2, 3],
        limit=(10, None),
        names=(Path("few.txt"), None),
        val_exclude=["a_*", "b/c"],
    )
    train, val = parts.selections
    assert train == Selection(Path("few.txt"), (), 2, 10)
    assert val == Selection(None, ("a_*", "b/c"), 3, None)
    # Lists of names show in the content keys; patterns only where there are any.
    assert parts.protocol == dict(
        train="fold1", val="fold2", every=[2, 3], limit=[10, None], val_exclude=["a_*", "b/c"]
    )


@pytest.mark.parametrize("text", ["few.txt,None", " few.txt , none ", "few.txt,"])
def test_a_text_is_two_values(text: str) -> None:
    parts = Parts.of("train", "val", **(PLAIN | dict(names=text)))
    assert [selection.names for selection in parts.selections] == ["few.txt", None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(every=(1, 0)),
            r"every=\(1, 0\): must be \(train, val\), two whole numbers from 1 on",
        ),
        (dict(every=2), r"every=2: must be \(train, val\)"),
        (dict(every=(True, 1)), r"every=\(True, 1\): must be"),
        (dict(limit=(5, 2.0)), r"limit=\(5, 2.0\): must be .*, for example limit=500,None"),
        (dict(names=("a", "b", "c")), r"names=\('a', 'b', 'c'\): must be"),
        (dict(names=(" ", None)), r"names=\(' ', None\): must be .* text files or None"),
        (dict(train_exclude=["a", ""]), r"train_exclude=\['a', ''\]: must be names with stars"),
        (dict(val_exclude="a,,b"), "val_exclude='a,,b': must be names with stars"),
    ],
)
def test_illegal_options_are_named_with_an_example(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parts.of("train", "val", **(PLAIN | options))


@pytest.mark.parametrize("name", ["", 2012, None])
def test_a_part_has_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match=f"val={name!r}: must be the name of a part; a number"):
        Parts.of("train", name, **PLAIN)
