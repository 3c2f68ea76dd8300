"""The whole benchmark against a slow re-implementation, and the properties that only show end to
end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.scores import SegmentationTally, image_counts
from benchmarks.data import SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen import retrieval
from benchmarks.frozen.retrieval import Settings
from benchmarks.frozen.retrieval.memory_need import check_batch

PLAIN = Settings(
    size=(40, 48), neighbours=5, passes=1, augment=False, backend="torch", batch_size=4
)


def retrieve_slowly(
    network: Any, data: Any, k: int, beta: float, *, ignored_class: bool = False
) -> np.ndarray:
    """Confusion matrix of the unbounded benchmark, patch by patch, in float64.

    Args:
        ignored_class: ignored pixels vote for class 3, not for none.
    """
    classes = 3 + ignored_class
    keys, labels = [], []
    for split in (data.train,):
        for i in range(len(split)):
            image, mask = split.load(i)
            mask = np.where(mask == IGNORE, 3, mask) if ignored_class else mask
            maps = (
                network.maps(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0]
                .double()
                .numpy()
            )
            for y in range(5):
                for x in range(6):
                    patch = mask[8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
                    if (patch != IGNORE).any():
                        keys.append(maps[:, y, x] / np.linalg.norm(maps[:, y, x]))
                        labels.append([(patch == c).mean() for c in range(classes)])
    keys, labels = np.array(keys), np.array(labels)
    confusion = np.zeros((classes, classes), np.int64)
    for i in range(len(data.val)):
        image, mask = data.val.load(i)
        maps = (
            network.maps(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0].double().numpy()
        )
        answer = np.zeros((classes, 5, 6))
        for y in range(5):
            for x in range(6):
                cosines = keys @ maps[:, y, x] / np.linalg.norm(maps[:, y, x])
                nearest = np.argsort(-cosines)[:k]
                weights = np.exp((cosines[nearest] - cosines.max()) / beta)
                answer[:, y, x] = weights @ labels[nearest] / weights.sum()
        scores = F.interpolate(
            torch.from_numpy(answer)[None], size=(40, 48), mode="bilinear", align_corners=False
        )
        for predicted, true in zip(scores[0].argmax(0).numpy().flat, mask.flat, strict=True):
            if true != IGNORE:
                confusion[true, predicted] += 1
    return confusion


@pytest.mark.parametrize("backend", ["torch", "faiss-cpu"])
def test_equals_the_slow_reimplementation(toy_data: Any, colour_grid: Any, backend: str) -> None:
    data, network = toy_data(), colour_grid()
    record = retrieval.BENCHMARK.measure(network, data, replace(PLAIN, backend=backend))
    confusion = retrieve_slowly(network, data, 5, 0.02)
    # float32 against float64: a pixel may flip where two classes are equally likely
    assert np.abs(np.array(record.counts["confusion"]) - confusion).sum() <= 4
    intersection, union = image_counts(record.counts)
    miou = 100 * np.mean(intersection.sum(0) / union.sum(0))
    assert record.metrics["mIoU"].value == pytest.approx(miou)
    assert miou > 60
    assert record.protocol["memory_effective"] == 6 * 30 - 1  # one patch is ignored as a whole


def released_mean_iou(confusion: np.ndarray) -> float:
    """As the open re-implementation scores: the best renaming of predictions, IoU 0 where there is
    nothing."""
    classes, best = range(len(confusion)), (-1.0, 0.0)
    for names in itertools.permutations(classes):
        renamed = confusion[:, names]
        union = renamed.sum(0) + renamed.sum(1) - renamed.diagonal()
        iou = [renamed[c, c] / union[c] if union[c] else 0.0 for c in classes]
        best = max(best, (sum(iou), float(np.mean(iou))))
    return 100 * best[1]


@pytest.fixture
def ade_like(tmp_path: Path) -> Callable[..., SegmentationFolder]:
    """Opens a toy set as ADE20K is: raw label 0 is ignored and covers a quarter of the patches, 1
    to 3 are classes;
    noisy colours that overlap, so that every label is taken for every other one."""
    rng = np.random.default_rng(5)
    colours = np.array([[120, 120, 120], [160, 100, 100], [100, 160, 100], [100, 100, 160]])
    for split, count in (("train", 6), ("val", 4)):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index in range(count):
            cells = rng.integers(0, 4, (5, 6))
            shift = rng.normal(0, 25, (5, 6, 3))
            mask = np.kron(cells, np.ones((8, 8), np.int64)).astype(np.uint8)
            image = np.kron(colours[cells] + shift, np.ones((8, 8, 1))) + rng.normal(
                0, 10, (40, 48, 3)
            )
            mask[rng.random(mask.shape) < 0.1] = 0
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
                tmp_path / "images" / split / f"{index}.png"
            )
            Image.fromarray(mask).save(tmp_path / "masks" / split / f"{index}.png")

    def make(**overrides: Any) -> SegmentationFolder:
        options = dict(images="images/{split}", masks="masks/{split}", classes=3, first=1, ignore=0)
        return SegmentationFolder(tmp_path, "plain", **(options | overrides))

    return make


def test_ade20k_as_the_open_reimplementation_runs_it(
    ade_like: Callable[..., SegmentationFolder], colour_grid: Any
) -> None:
    """The ignored label is a class of the memory, its pixels are not scored, and its IoU of 0
    counts in the mean."""

    class Centred(colour_grid):
        """Colours in all directions: neighbours are far enough apart for float32."""

        def maps(self, images: torch.Tensor) -> torch.Tensor:
            return super().maps(images) - 0.55

    data, network = ade_like(), Centred()
    names = ("hungarian", "absent-is-zero", "ignored-is-a-class")
    record = retrieval.BENCHMARK.measure(network, data, replace(PLAIN, compat=names))
    confusion = np.array(record.counts["confusion"])
    assert np.array_equal(confusion, retrieve_slowly(network, data, 5, 0.02, ignored_class=True))
    assert confusion.shape == (4, 4) and confusion[3].sum() == 0 < confusion[:, 3].sum()
    value = record.metrics["mIoU"].value
    assert value == pytest.approx(released_mean_iou(confusion), rel=1e-12)
    assert record.protocol["memory_effective"] == 6 * 30 and 0 in record.counts["class_iou"]
    others = [(), names[:2], (*names[:2], "ignore-is-class-0"), names[2:]]
    values = [
        retrieval.BENCHMARK.measure(network, data, replace(PLAIN, compat=c)).metrics["mIoU"].value
        for c in others
    ]
    kept = retrieval.BENCHMARK.measure(
        network, ade_like(keep_ignored=True), replace(PLAIN, compat=names[:2])
    )
    assert min(abs(other - value) for other in (*values[:3], kept.metrics["mIoU"].value)) > 1
    for name in ("majority", "position"):
        baseline = retrieval.BENCHMARK.measure_baseline(
            name, data, replace(PLAIN, compat=names), stride=8
        )
        assert baseline.protocol_hash == record.protocol_hash
        assert np.array(baseline.counts["confusion"]).shape == (4, 4)


def test_same_seed_same_bits_and_another_seed_differs(toy_data: Any, colour_grid: Any) -> None:
    settings = replace(PLAIN, memory_size=60, passes=2, augment=True)
    runs = [
        retrieval.BENCHMARK.measure(colour_grid(), toy_data(), s)
        for s in (settings, settings, replace(settings, seed=1))
    ]
    assert runs[0].counts == runs[1].counts
    assert runs[0].protocol_hash == runs[1].protocol_hash
    assert runs[0].counts != runs[2].counts
    assert runs[0].protocol_hash != runs[2].protocol_hash
    assert runs[0].protocol["memory_effective"] == 60


def test_batch_size_and_rotated_features_change_nothing(toy_data: Any, colour_grid: Any) -> None:
    settings = replace(PLAIN, memory_size=60)
    plain = retrieval.BENCHMARK.measure(colour_grid(), toy_data(), settings)
    other = retrieval.BENCHMARK.measure(colour_grid(), toy_data(), replace(settings, batch_size=3))
    assert plain.counts == other.counts
    rotation = torch.linalg.qr(
        torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    ).Q  # (7, 3) isometry
    rotated = retrieval.BENCHMARK.measure(colour_grid(matrix=rotation), toy_data(), settings)
    assert np.abs(np.array(plain.counts["confusion"]) - rotated.counts["confusion"]).sum() <= 8
    assert (
        plain.protocol_hash == rotated.protocol_hash
    )  # the width of the features is not part of the protocol


def test_constant_features_give_one_class(toy_data: Any, colour_grid: Any) -> None:
    class Constant(colour_grid):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(super().maps(images))[:, :1]  # exact in float: every cosine is 1

    record = retrieval.BENCHMARK.measure(Constant(), toy_data(), PLAIN)
    confusion = np.array(record.counts["confusion"])
    assert (confusion.sum(0) > 0).sum() == 1
    frequency = confusion.diagonal().sum() / confusion.sum()
    assert record.metrics["mIoU"].value == pytest.approx(100 * frequency / 3)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_unusable_features_name_the_image(toy_data: Any, colour_grid: Any, value: float) -> None:
    class Broken(colour_grid):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            maps = super().maps(images)
            maps[1, :, 2, 3] = value
            return maps

    with pytest.raises(ValueError, match=r"001\.png: a feature is zero or not finite"):
        retrieval.BENCHMARK.measure(Broken(), toy_data(), PLAIN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(size=(41, 48)),
            r"size=\(41, 48\) is not a multiple of the feature stride 8; the nearest is \(40, 48\)",
        ),
        (
            dict(memory_size=5),
            "memory_size=5 leaves less than one patch for each of 6 images x 1 passes",
        ),
        (dict(backend="faiss_cpu"), "did you mean 'faiss-cpu'"),
        (dict(compat=("hungarain",)), "compat='hungarain' .* did you mean 'hungarian'"),
        (
            dict(compat=("ignore-is-class-0", "ignored-is-a-class")),
            "class 0 or a class of their own .* not both",
        ),
        (dict(temperature=0), "temperature=0 must be greater than 0"),
        (dict(passes=2), "would store every patch 2 times"),
    ],
)
def test_errors(toy_data: Any, colour_grid: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retrieval.BENCHMARK.measure(colour_grid(), toy_data(), replace(PLAIN, **change))


def test_compat_names_from_a_command_line() -> None:
    assert Settings(compat="hungarian").compat == ("hungarian",)
    assert Settings(compat="hungarian,absent-is-zero").compat == ("hungarian", "absent-is-zero")


def test_compat_names_change_what_they_say(toy_data: Any, colour_grid: Any) -> None:
    network = colour_grid()
    plain = retrieval.BENCHMARK.measure(network, toy_data(), PLAIN)
    matched = retrieval.BENCHMARK.measure(
        network, toy_data(), replace(PLAIN, compat=("hungarian",))
    )
    assert matched.metrics["mIoU"].value >= plain.metrics["mIoU"].value
    assert (plain.protocol["matching"], matched.protocol["matching"]) == ("identity", "hungarian")
    counted = retrieval.BENCHMARK.measure(
        network, toy_data(), replace(PLAIN, compat=("ignore-is-class-0",))
    )
    assert counted.protocol["memory_effective"] == 6 * 30  # the ignored patch is stored as class 0
    seen = []

    class Watching(type(network)):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(self.std[2])
            return super().maps(images)

    watching = Watching()
    retrieval.BENCHMARK.measure(watching, toy_data(), replace(PLAIN, compat=("blue-std-0.255",)))
    assert set(seen) == {0.255} and watching.std[2] == 1.0
    classes = toy_data(classes=4)
    absent = [
        retrieval.BENCHMARK.measure(network, classes, replace(PLAIN, compat=c))
        for c in ((), ("absent-is-zero",))
    ]
    assert absent[1].metrics["mIoU"].value == pytest.approx(absent[0].metrics["mIoU"].value * 3 / 4)


def test_baselines_share_the_protocol_and_are_ordered(toy_data: Any, colour_grid: Any) -> None:
    data = toy_data()
    records = {
        name: retrieval.BENCHMARK.measure_baseline(name, data, PLAIN, stride=8)
        for name in retrieval.BENCHMARK.baselines
    }
    hashes = {r.protocol_hash for r in records.values()} | {
        retrieval.BENCHMARK.measure(colour_grid(), data, PLAIN).protocol_hash
    }
    assert len(hashes) == 1
    confusion = np.array(records["majority"].counts["confusion"])
    train = np.bincount(np.concatenate([data.train.load(i)[1].ravel() + 1 for i in range(6)]))[1:]
    assert np.flatnonzero(confusion.sum(0)).tolist() == [train.argmax()]
    assert records["colour_position"].metrics["mIoU"].value > 60
    assert records["position"].metrics["mIoU"].value < 45  # the toy masks have no layout to learn


def whole_and_shared(rank: int, root: str) -> dict[str, list[Any]]:
    """Counts and protocol of runs that every process does alone, and of runs that both share."""
    data = SegmentationFolder(
        root, "plain", images="images/{split}", masks="masks/{split}", classes=3, ignore=255
    )
    network = FeatureExtractor.load("random:test_resnet?output_stride=8")
    results = {}
    for placement, backend in itertools.product(("replicate", "shard"), ("torch", "faiss-cpu")):
        settings = retrieval.Settings(
            size=(64, 64),
            neighbours=5,
            memory_size=120,
            passes=2,
            backend=backend,
            placement=placement,
            # 4: the second process has no validation batch
            batch_size=2 if backend == "torch" else 4,
        )
        for distributed in (False, True):
            record = retrieval.BENCHMARK.measure(network, data, settings, distributed=distributed)
            results[f"{placement} {backend} {distributed}"] = [record.counts, record.protocol_hash]
    return results


def test_two_processes_equal_one(toy_root: Path, in_two_processes: Callable[..., list]) -> None:
    results = in_two_processes(whole_and_shared, str(toy_root))
    assert results[0] == results[1]  # every process has the whole record
    counts = {name: value[0] for name, value in results[0].items()}
    assert all(value == counts["replicate torch False"] for value in counts.values())
    hashes = {name: value[1] for name, value in results[0].items()}
    assert hashes["replicate torch False"] == hashes["shard torch True"]


def test_upsampled_maps_that_do_not_fit_name_the_batch_size_that_does() -> None:
    check_batch(8, channels=10, cells=1000, available=2 * 10**6)
    with pytest.raises(
        MemoryError, match=r"960\.0 MB, but 120\.0 MB are free; batch_size=9 would fit"
    ):
        check_batch(80, channels=1000, cells=1000, available=120 * 10**6)
    with pytest.raises(MemoryError, match="only a larger upsampled stride would fit"):
        check_batch(1, channels=1000, cells=1000, available=10**6)


def test_nothing_labelled_and_scores_that_are_no_numbers_are_refused() -> None:
    """argmax of NaN is a class like any other: such a network would have had a score."""
    tally = SegmentationTally(3)
    masks = torch.zeros(1, 4, 4, dtype=torch.int16)
    shares = torch.zeros(1, 3, 2, 2)
    shares[0, 1, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="a predicted class score is not finite"):
        tally.add_scores(shares, LabelledBatch(torch.empty(1, 3, 4, 4), masks, [0]))
    unlabelled = LabelledBatch(torch.empty(1, 3, 4, 4), masks - 1, [0])
    tally.add_scores(torch.zeros(1, 3, 2, 2), unlabelled)
    with pytest.raises(
        ValueError, match="probe: no pixel of the val part is labelled at this size"
    ):
        tally.result("probe", facts={}, absent_as_zero=True)


def test_masks_are_scored_at_their_own_size(
    toy_data: Callable[..., SegmentationFolder], colour_grid: Callable[[], Any]
) -> None:
    """Labels from the memory are brought to the size of the masks, whose pixels take the label
    under their centre; the memory is the same.
    """
    data, network = toy_data(), colour_grid()
    record = retrieval.BENCHMARK.measure(network, data, replace(PLAIN, mask_size=(20, 24)))
    whole = retrieval.BENCHMARK.measure(network, data, PLAIN)
    again = replace(PLAIN, mask_size=(40, 48))
    assert retrieval.BENCHMARK.measure(network, data, again).counts == whole.counts
    pixels = 0
    for index in range(len(data.val)):
        mask = data.val.load(index)[1]
        pixels += int((mask[1::2, 1::2] != IGNORE).sum())
    assert np.sum(record.counts["confusion"]) == pixels < np.sum(whole.counts["confusion"])
    assert record.protocol["mask_size"] == [20, 24] and "mask_size" not in whole.protocol
    with pytest.raises(ValueError, match=r"mask_size=\(0, 3\) must be greater than 0"):
        replace(PLAIN, mask_size=(0, 3))
