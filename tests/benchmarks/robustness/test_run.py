"""Records of a classifier that needs no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.frozen import robustness as frozen
from benchmarks.robustness.corruptions import corrupt, generator
from benchmarks.robustness.folders import open_data
from benchmarks.robustness.run import BENCHMARK, Settings

Write = Callable[..., Path]
COLOURS = {"n00000001": (200, 40, 40), "n00000002": (40, 200, 40), "n00000003": (40, 40, 200)}
FEW = Settings(corruptions=("gaussian_noise", "fog", "contrast"), severities=(1, 5))


@pytest.fixture
def root(write_classes: Write, tmp_path: Path) -> Path:
    """Three classes of three images."""
    return write_classes(tmp_path / "classes", COLOURS, 3)


def test_counts_are_those_of_a_loop(root: Path, by_colour: Any) -> None:
    """Every image corrupted and classified by itself, with colours that the corruptions confuse."""
    classifier = by_colour(
        {"n00000003": (90, 90, 140), "n00000001": (140, 90, 90), "n00000002": (90, 140, 90)}
    )
    settings = Settings(
        corruptions=("fog", "brightness", "frost"),
        severities=(2, 5),
        batch_size=2,
        crop_fraction=0.9,
    )
    data = open_data(f"corrupted:{root}?part=all")
    record = BENCHMARK.measure(classifier, data, settings)
    for name in settings.corruptions:
        wrong = np.zeros(9, int)
        for severity in (2, 5):
            for index in range(9):
                image = data.images.image(index, 32, 0.9, resample=Image.Resampling.BICUBIC)
                image = corrupt(
                    image, name, severity, generator(0, data.images.key(index), name, severity)
                )
                scores = classifier.logits(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])
                wrong[index] += (
                    classifier.classes[int(scores.argmax())] != data.images.key(index).split("/")[0]
                )
        assert record.counts["per_image"][name] == (100 * wrong / 2).tolist()
        assert (
            sum(level["wrong"] for level in record.counts["corruptions"][name].values())
            == wrong.sum()
        )
        assert record.metrics[name].value == pytest.approx(100 * wrong.sum() / 18)
    assert record.counts["per_image"]["label"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert record.metrics["error"].value == 0 and "mCE" not in record.metrics
    assert Record.from_json(record.to_json()).protocol_hash == record.protocol_hash


def test_batches_subsets_and_other_corruptions_change_nothing(root: Path, by_colour: Any) -> None:
    classifier = by_colour(COLOURS | {"n00000004": (128, 128, 128)})
    data = open_data(f"corrupted:{root}?part=all")
    whole = BENCHMARK.measure(classifier, data, FEW).counts["per_image"]
    part = BENCHMARK.measure(
        classifier, data, Settings(corruptions=("contrast", "fog"), severities=(5, 1), batch_size=2)
    )
    for key in ("image", "label", "error", "contrast", "fog"):
        assert part.counts["per_image"][key] == whole[key]
    assert set(whole) - set(part.counts["per_image"]) == {"gaussian_noise"}
    every = BENCHMARK.measure(
        classifier, open_data(f"corrupted:{root}?part=all&every=2"), FEW
    ).counts["per_image"]
    assert every.pop("image") == list(range(len(whole.pop("image")[::2])))
    assert every == {key: values[::2] for key, values in whole.items()}


def test_only_where_the_set_is_defined_so_are_other_classes_left_out(
    root: Path, by_colour: Any
) -> None:
    """A class of the classifier that fits every image best: it is chosen where it may be."""
    nearer = {
        f"n1000000{i}": tuple(c + 1 for c in colour) for i, colour in enumerate(COLOURS.values())
    }
    far = {name: tuple(c // 2 for c in colour) for name, colour in COLOURS.items()}
    classifier = by_colour(nearer | far)
    errors = {
        kind: BENCHMARK.measure(classifier, open_data(f"{kind}:{root}?partial=True"), FEW)
        .metrics["error"]
        .value
        for kind in ("imagenet-a", "imagenet-r", "imagenet-sketch")
    }
    assert errors == {"imagenet-a": 0, "imagenet-r": 0, "imagenet-sketch": 100}


def test_top5(write_classes: Write, by_colour: Any, tmp_path: Path) -> None:
    """Seven greys, each taken for the one two steps darker, the right one fourth or fifth; the
    darkest is right.
    """
    greys = {f"c{i}": (30 * i + 20,) * 3 for i in range(7)}
    root = write_classes(tmp_path / "greys", greys, 1)
    classifier = by_colour({f"c{i}": (30 * (i + 2) + 20,) * 3 for i in range(7)})
    metrics = BENCHMARK.measure(classifier, open_data(f"corrupted:{root}?part=all"), FEW).metrics
    assert metrics["error"].value == pytest.approx(600 / 7) and metrics["top5_error"].value == 0
    assert (
        0 <= metrics["mean_corruption_top5_error"].value <= metrics["mean_corruption_error"].value
    )


def test_imagenet_c_is_read_as_it_is(write_classes: Write, by_colour: Any, tmp_path: Path) -> None:
    for name, colours in (
        ("fog", COLOURS),
        ("snow", dict(zip(COLOURS, list(COLOURS.values())[::-1], strict=True))),
    ):
        for severity in (1, 2):
            write_classes(tmp_path / name / str(severity), colours, 2)
    data = open_data(f"imagenet-c:{tmp_path}?partial=True")
    told: list[tuple[str, int, int]] = []
    record = BENCHMARK.measure(
        by_colour(COLOURS),
        data,
        Settings(corruptions=("fog", "snow"), severities=(1, 2), batch_size=4),
        progress=lambda *words: told.append(words),
    )
    assert {name: metric.value for name, metric in record.metrics.items()} == pytest.approx(
        dict(mean_corruption_error=100 / 3, fog=0, snow=200 / 3)
    )
    assert record.protocol["crop_fraction"] == 1.0 and "corruption_seed" not in record.protocol
    assert told[0] == ("fog 1", 1, 8) and told[-1] == ("snow 2", 8, 8)
    write_classes(tmp_path / "snow" / "3", dict.fromkeys(COLOURS, (9, 9, 9)), 1)
    with pytest.raises(ValueError, match="snow/3 has other images"):
        BENCHMARK.measure(
            by_colour(COLOURS), data, Settings(corruptions=("snow",), severities=(1, 3))
        )


def test_what_changes_the_number_is_in_the_protocol(root: Path, by_colour: Any) -> None:
    data = open_data(f"corrupted:{root}?part=all")

    def hashed(**changes: Any) -> str:
        settings = Settings(**(dict(corruptions=("fog",), severities=(1,)) | changes))
        return BENCHMARK.measure(by_colour(COLOURS), data, settings).protocol_hash

    base = hashed()
    changes = [
        dict(seed=1),
        dict(severities=(2,)),
        dict(corruptions=("snow",)),
        dict(crop_fraction=0.5),
    ]
    assert len({base, *(hashed(**change) for change in changes)}) == 1 + len(changes)
    assert hashed(batch_size=2) == base
    fewer = BENCHMARK.measure(
        by_colour(COLOURS), open_data(f"corrupted:{root}?part=all&every=2"), FEW
    )
    assert fewer.protocol_hash != BENCHMARK.measure(by_colour(COLOURS), data, FEW).protocol_hash


def test_scores_that_are_not_finite_name_the_image(root: Path, by_colour: Any) -> None:
    classifier = by_colour(COLOURS)
    good = classifier.logits
    classifier.logits = lambda images: (
        good(images) / torch.tensor([[1.0]] * 4 + [[float("nan")]] * (len(images) - 4))
    )
    with pytest.raises(ValueError, match=r"n00000002/1.png: its scores are not finite"):
        BENCHMARK.measure(classifier, open_data(f"corrupted:{root}?part=all"), FEW)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (dict(corruptions=()), "corruptions=.* one or more"),
        (dict(corruptions="fog"), "must be a list"),
        (dict(corruptions=("fog", "fog")), "nothing twice"),
        (dict(corruptions=("frog",)), "did you mean 'fog'|did you mean 'frost'"),
        (dict(severities=(0,)), "must be among 1, 2, 3, 4, 5"),
        (dict(size=0), "size=0 must be at least 1"),
        (dict(crop_fraction=1.5), r"crop_fraction=1.5 must be in \(0, 1\]"),
    ],
)
def test_illegal_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**values)


def test_a_probe_on_frozen_features(write_classes: Write, colour_grid: Any, tmp_path: Path) -> None:
    """Mean colours separate the classes, which are nearly grey; behind strong noise they do not."""
    near = {"reddish": (104, 100, 100), "greenish": (100, 104, 100), "bluish": (100, 100, 104)}
    root = write_classes(tmp_path / "near", near, 10)
    settings = frozen.Settings(
        size=32, weight_decays=(1e-2,), corruptions=("gaussian_noise", "pixelate"), severities=(5,)
    )
    data = ClassFolder(root, held_back=0.4)
    record = frozen.BENCHMARK.measure(colour_grid(), data, settings)
    assert record.benchmark == "robustness" and record.metrics["error"].value == 0
    wrong = {name: levels["5"]["wrong"] for name, levels in record.counts["corruptions"].items()}
    assert wrong["pixelate"] == 0 < wrong["gaussian_noise"]
    assert record.metrics["mean_corruption_error"].value == pytest.approx(
        100 * wrong["gaussian_noise"] / 24
    )
    with pytest.raises(ValueError, match="frog"):
        frozen.Settings(corruptions=("frog",))
