"""Domains: folders alone, as in PACS, and lists beside them, as in DomainNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import ClassFolder
from pretrain.data.sources import FileList
from pretrain.specs import split_options

DOMAINS, CLASSES = ("clipart", "real"), ("zebra", "The_Tower", "axe")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two domains of three classes with six images each, no two alike."""
    for domain in DOMAINS:
        for kind in CLASSES:
            folder = tmp_path / domain / kind
            folder.mkdir(parents=True)
            for number in range(6):
                seed = [len(domain), len(kind), number]
                pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path


def write_list(root: Path, part: str, images: range, numbers: dict[str, int]) -> None:
    lines = []
    for kind, number in numbers.items():
        for image in images:
            lines.append(f"clipart/{kind}/{image}.png {number}\n")
    (root / f"clipart_{part}.txt").write_text("".join(lines))


@pytest.fixture
def listed(root: Path) -> Path:
    """With DomainNet's lists: numbers in another order than names, and a gap."""
    numbers = dict(zebra=0, The_Tower=2, axe=7)
    write_list(root, "train", range(4), numbers)
    write_list(root, "test", range(4, 6), numbers)
    return root


def keys(data: ClassFolder, part: str) -> list[str]:
    split = getattr(data, part)
    return [split.key(index) for index in range(len(split))]


def test_lists_say_what_the_parts_are(listed: Path) -> None:
    data = ClassFolder(listed, domain="clipart")
    assert data.class_names == ("zebra", "The_Tower", "axe")
    assert (len(data.train), len(data.val)) == (12, 6)
    assert data.val.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert keys(data, "val")[:2] == ["clipart/zebra/4.png", "clipart/zebra/5.png"]
    assert data.protocol["listed"] and data.protocol["domain"] == "clipart"
    images, ids = next(data.val.batches(16, 4, crop_fraction=1.0))
    assert images.shape == (4, 3, 16, 16) and ids == [0, 1, 2, 3]
    # Pretraining reads the same list.
    assert len(FileList(listed / "clipart_train.txt", root=listed)) == 12


def test_the_test_part_may_lack_a_class(listed: Path) -> None:
    write_list(listed, "test", range(4, 6), dict(axe=7))
    data = ClassFolder(listed, domain="clipart")
    assert data.classes == 3 and data.val.labels.tolist() == [2, 2]


def test_folders_alone_are_split_by_lot(root: Path) -> None:
    data = ClassFolder(root, domain="real", held_back=0.5)
    assert data.class_names == ("The_Tower", "axe", "zebra") and len(data.val) == 9
    assert {key.split("/")[0] for key in keys(data, "val")} == {"real"}
    plain = ClassFolder(root / "real", held_back=0.5)
    assert [Path(key).parts[-2:] for key in keys(data, "val")] == [
        Path(key).parts[-2:] for key in keys(plain, "val")
    ]
    assert data.protocol["domain"] == "real" and "domain" not in plain.protocol


@pytest.mark.filterwarnings("ignore:.*have no train image")
def test_caps_are_drawn_and_nested(listed: Path) -> None:
    def chosen(cap: int | None, seed: int = 0) -> set[str]:
        return set(keys(ClassFolder(listed, domain="clipart", seed=seed, cap=(cap, 4)), "train"))

    assert [len(chosen(cap)) for cap in (1, 3, 8, 12, 50_000)] == [1, 3, 8, 12, 12]
    assert chosen(1) < chosen(3) < chosen(8) < chosen(None)
    assert len({frozenset(chosen(6, seed)) for seed in range(5)}) > 1


def test_classes_that_a_cap_leaves_empty_are_named(listed: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 3 classes have no train image"):
        ClassFolder(listed, domain="clipart", cap=(1, None))


def test_a_cap_is_part_of_the_protocol(listed: Path) -> None:
    data = ClassFolder(listed, domain="clipart", cap=(6, None), seed=3)
    assert (data.protocol["cap"], data.protocol["cap_seed"]) == ([6, None], 3)
    assert len(data.val) == 6 and data.protocol["train_images"] == 6
    assert "cap" not in ClassFolder(listed, domain="clipart").protocol
    with pytest.raises(ValueError, match="cap=0: must be at least 1 image, or None for all"):
        ClassFolder(listed, domain="clipart", cap=(0, 1))


@pytest.mark.parametrize("domain", ["clipat", ""])
def test_a_domain_that_is_not_there(root: Path, domain: str) -> None:
    words = f"domain='{domain}'.*holds the folders 'clipart', 'real'; name one"
    with pytest.raises(ValueError, match=words):
        ClassFolder(root, domain=domain)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        ClassFolder(root / "nowhere", domain="clipart")


def test_mistakes_in_lists_are_named(listed: Path) -> None:
    def error() -> str:
        with pytest.raises(ValueError) as caught:
            ClassFolder(listed, domain="clipart")
        return str(caught.value)

    test = listed / "clipart_test.txt"
    whole = test.read_text()
    test.write_text(whole + "clipart/comb/0.png 0\n")
    assert "class 0 is 'zebra' and 'comb'" in error()
    test.write_text(whole + "clipart/zebra/0.png 9\n")
    assert "'zebra' has the numbers 0 and 9" in error()
    test.write_text(whole + "clipart/zebra/0.png\n")
    assert "is not '<domain>/<class>/<image> <number of the class>'" in error()
    test.write_text("")
    assert "clipart_test.txt is empty" in error()
    test.write_text("clipart/comb/4.png 9\nclipart/axe/4.png 7\n")
    assert "does not exist; unpack the domain's images" in error()
    (listed / "clipart/comb").mkdir()
    Image.new("RGB", (8, 8)).save(listed / "clipart/comb/4.png")
    assert "has classes that the train part lacks: ['comb']" in error()
    test.write_text(whole + "clipart/axe/0.png 7\n")
    assert "1 of the 7 val images are train images" in error()
    test.unlink()
    assert "lacks clipart_test.txt" in error()


def test_the_command_line(listed: Path) -> None:
    root, options = split_options(f"{listed}?domain=clipart&cap=6,2")
    parsed = ClassFolder.arguments("domains", root, options)
    assert ClassFolder(**parsed).protocol["cap"] == [6, 2]
    with pytest.raises(ValueError, match="domain='': .* holds the folders"):
        ClassFolder(**ClassFolder.arguments("domains", root, {}))
