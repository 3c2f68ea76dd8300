"""Readers on folders made here, and what is said of wrong ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.data import ClassFolder
from benchmarks.robustness.folders import open_data

Write = Callable[..., Path]
COLOURS = {"n00000001": (200, 0, 0), "n00000002": (0, 200, 0), "n00000003": (0, 0, 200)}


def test_corrupted_takes_the_validation_part(write_classes: Write, tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        write_classes(tmp_path / "split" / part, COLOURS, count)
    data = open_data(f"corrupted:{tmp_path / 'split'}")
    assert data.class_names == tuple(COLOURS) and len(data.images) == 6
    same = ClassFolder(
        tmp_path / "split", allow_shared=True
    ).val  # these images are of one colour each
    assert data.images.fingerprint == same.fingerprint
    assert data.images.key(0) == "val/n00000001/0.png"
    write_classes(tmp_path / "whole", COLOURS, 5)
    drawn = open_data(f"corrupted:{tmp_path / 'whole'}?held_back=0.4&seed=3")
    same = ClassFolder(tmp_path / "whole", held_back=0.4, seed=3, allow_shared=True).val
    assert [drawn.images.key(i) for i in range(6)] == [same.key(i) for i in range(6)]
    assert drawn.images.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(open_data(f"corrupted:{tmp_path / 'whole'}?part=all").images) == 15
    assert len(open_data(f"corrupted:{tmp_path / 'whole'}?part=all&every=4").images) == 4
    assert data.conditions(("fog",), (1, 5)) == [None, ("fog", 1), ("fog", 5)]
    assert data.generated and not data.masked and not data.complete


def test_parts_are_no_classes(write_classes: Write, tmp_path: Path) -> None:
    """The rule of all readers; before, "train" and "test" were two classes that the classifier did
    not know.
    """
    for part in ("train", "test"):
        write_classes(tmp_path / part, COLOURS, 2)
    for options in ("", "?part=all"):
        with pytest.raises(
            ValueError, match="has a folder 'train' but no 'val': 'test', 'train' are parts"
        ):
            open_data(f"corrupted:{tmp_path}{options}")
    write_classes(tmp_path / "test" / "n00000009", {"x": (1, 1, 1)}, 1)
    with pytest.raises(ValueError, match="class 'n00000009' has one image"):
        open_data(f"corrupted:{tmp_path / 'test'}")


@pytest.mark.parametrize(
    ("kind", "masked"), [("imagenet-a", True), ("imagenet-r", True), ("imagenet-sketch", False)]
)
def test_sets_without_corruptions(
    kind: str, masked: bool, write_classes: Write, tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "set", COLOURS)
    data = open_data(f"{kind}:{root}?partial=True")
    assert (
        data.masked == masked and not data.generated and not data.complete and len(data.images) == 6
    )
    assert data.conditions(("fog",), (1,)) == [None]
    assert data.columns(("n00000003", "x", "n00000001", "n00000002")) == [2, 3, 0]
    with pytest.raises(ValueError, match=f"has 3 class folders, {kind} has .*partial=True"):
        open_data(f"{kind}:{root}")


def test_a_complete_set_is_known_as_such(tmp_path: Path, write_classes: Write) -> None:
    root = write_classes(
        tmp_path / "set", {f"n{number:08d}": (9, 9, 9) for number in range(200)}, 1
    )
    assert open_data(f"imagenet-a:{root}").complete


def test_imagenet_c(write_classes: Write, tmp_path: Path) -> None:
    for name in ("fog", "snow"):
        for severity in (1, 3):
            write_classes(tmp_path / name / str(severity), COLOURS, 1)
    data = open_data(f"imagenet-c:{tmp_path}?partial=True")
    assert data.class_names == tuple(COLOURS) and not data.generated
    conditions = data.conditions(("fog", "snow"), (1, 3))
    assert conditions == [("fog", 1), ("fog", 3), ("snow", 1), ("snow", 3)]
    split = data.open(("snow", 3))
    assert split.key(2) == "n00000003/0.png" and split.labels.tolist() == [0, 1, 2]
    with pytest.raises(
        ValueError, match=r"lacks 2 of 4 folders CORRUPTION/SEVERITY \(fog/2, snow/2\)"
    ):
        data.conditions(("fog", "snow"), (1, 2))
    shutil.rmtree(tmp_path / "snow" / "1" / "n00000002")
    with pytest.raises(ValueError, match=r"snow/1 has 2 class folders.*differ in n00000002"):
        data.conditions(("snow",), (1,))
    with pytest.raises(
        ValueError, match=r"has no folder CORRUPTION/SEVERITY such as gaussian_noise/1"
    ):
        open_data(f"imagenet-c:{tmp_path / 'fog'}")


def test_mistakes(write_classes: Write, tmp_path: Path) -> None:
    root = write_classes(tmp_path / "named", {"cat": (1, 2, 3), "dog": (3, 2, 1)})
    for spec, words in (
        ("flowers", "write KIND:ROOT, kinds are corrupted, imagenet-a"),
        (f"imagenet-b:{root}", "write KIND:ROOT"),
        (f"corrupted:{tmp_path / 'nothing'}", "there is no folder .*nothing"),
        (f"corrupted:{root}?evry=2", "'evry' is not one of .*did you mean 'every'"),
        (f"corrupted:{root}?every=0", "every=0 must be at least 1"),
        (f"corrupted:{root}?part=train", "part='train' is not one of val, all"),
        (f"imagenet-r:{root}", r"named by WordNet ids as n01440764, found \['cat', 'dog'\]"),
    ):
        with pytest.raises(ValueError, match=words):
            open_data(spec)
    data = open_data(f"corrupted:{root}?part=all")
    with pytest.raises(
        ValueError, match="has 1 classes that the classifier does not know: dog; among the 2 that"
    ):
        data.columns(("cat", "cow"))
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match="folders without an image: empty"):
        open_data(f"corrupted:{root}?part=all")
