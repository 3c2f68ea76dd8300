"""Depth retrieval against a slow re-implementation, and what must hold whatever the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import DepthFolder
from benchmarks.frozen import depth
from benchmarks.frozen.baselines import ColourPosition
from benchmarks.frozen.retrieval.memory_need import MemoryNeed

PLAIN = depth.Settings(
    size=(40, 48), neighbours=5, passes=1, augment=False, backend="torch", batch_size=4
)


def patches_of(network: Any, split: Any, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit keys (30, D) and depths (30, 8, 8) of one image, patch by patch, in float64."""
    image, metres = split.load(index)
    maps = network.maps(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0].double().numpy()
    keys, depths = [], []
    for y in range(5):
        for x in range(6):
            keys.append(maps[:, y, x] / np.linalg.norm(maps[:, y, x]))
            depths.append(metres[8 * y : 8 * y + 8, 8 * x : 8 * x + 8].astype(np.float64))
    return np.array(keys), np.array(depths)


def predict_slowly(
    network: Any, data: DepthFolder, k: int, beta: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(prediction, truth) of each validation image's patches, each (30, 8, 8)."""
    keys, labels = [], []
    for i in range(len(data.train)):
        for key, patch in zip(*patches_of(network, data.train, i), strict=True):
            if (patch > 0).any():
                keys.append(key)
                labels.append(np.where(patch > 0, patch, patch[patch > 0].mean()))
    keys, labels = np.array(keys), np.array(labels)
    results = []
    for i in range(len(data.val)):
        queries, truth = patches_of(network, data.val, i)
        predictions = []
        for query in queries:
            cosines = keys @ query
            nearest = np.argsort(-cosines)[:k]
            weights = np.exp((cosines[nearest] - cosines.max()) / beta)
            predictions.append(np.tensordot(weights, labels[nearest], 1) / weights.sum())
        results.append((np.array(predictions), truth))
    return results


@pytest.mark.parametrize("backend", ["torch", "faiss-cpu"])
def test_equals_the_slow_reimplementation(toy_depth: Any, colour_grid: Any, backend: str) -> None:
    data, network = toy_depth(), colour_grid()
    record = depth.BENCHMARK.measure(network, data, replace(PLAIN, backend=backend))
    known = [(p[t > 0], t[t > 0]) for p, t in predict_slowly(network, data, 5, 0.02)]
    predicted, true = (np.concatenate([pair[i] for pair in known]) for i in range(2))
    assert record.metrics["RMSE"].value == pytest.approx(
        np.sqrt(np.mean((predicted - true) ** 2)), rel=1e-4
    )
    ratio = np.maximum(predicted / true, true / predicted)
    assert record.metrics["delta1"].value == pytest.approx(100 * np.mean(ratio < 1.25), abs=0.1)
    table = record.counts["per_image"]
    assert table["image"] == [0, 1, 2, 3] and table["known"] == [len(t) for _, t in known]
    np.testing.assert_allclose(
        table["squared_error"], [((p - t) ** 2).sum() for p, t in known], rtol=1e-4
    )
    assert record.protocol["memory_effective"] == 6 * 30 - 1  # no depth is known in one patch
    assert (record.metrics["RMSE"].unit, "matching" in record.protocol) == ("m", False)


def test_memory_of_the_queries_gives_each_patch_its_own_depths(
    toy_depth: Any, colour_grid: Any
) -> None:
    class Pixels(colour_grid):  # no two patches are alike, as patches of one mean colour nearly are
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.pixel_unshuffle(images.float() / 255 - 0.5, self.stride)

    record = depth.BENCHMARK.measure(
        Pixels(), toy_depth(val="train", allow_shared=True), replace(PLAIN, neighbours=1)
    )
    assert record.metrics["RMSE"].value == 0 and record.metrics["delta1"].value == 100


def test_unknown_depths_neither_teach_nor_count(
    toy_root: Path, colour_grid: Any, tmp_path: Path
) -> None:
    """One flat wall 2 m away, seen in half of the pixels: where it is not seen, any depth would be
    an error.
    """
    for split in ("train", "val"):
        for kind in ("images", "depth"):
            (tmp_path / kind / split).mkdir(parents=True)
        (tmp_path / "images" / split / "000.png").write_bytes(
            (toy_root / f"images/{split}/000.png").read_bytes()
        )
        wall = np.where(np.indices((40, 48)).sum(0) % 2, 2000, 0).astype(np.uint16)
        Image.fromarray(wall).save(tmp_path / "depth" / split / "000.png")
    data = DepthFolder(tmp_path, "scenes")
    record = depth.BENCHMARK.measure(colour_grid(), data, PLAIN)
    assert record.metrics["RMSE"].value == pytest.approx(0, abs=1e-6)
    assert record.counts["per_image"]["known"] == [40 * 48 // 2]
    Image.fromarray(np.zeros((40, 48), np.uint16)).save(tmp_path / "depth" / "val" / "000.png")
    with pytest.raises(ValueError, match="no depth is known: all maps of the val part"):
        DepthFolder(tmp_path, "scenes")
    with pytest.raises(
        ValueError, match="RMSE is nan, it is not defined: the val part must hold known depths"
    ):
        depth.DepthTally().metrics()


def test_patches_are_laid_out_as_they_were_cut() -> None:
    metres = torch.arange(1, 2 * 12 * 8 + 1).float().view(2, 12, 8)
    counts, labels = depth.DepthLabels(4)(metres, (3, 2))
    assert (counts == 16).all() and labels.shape == (2, 6, 16)
    assert (
        labels[1, 3].tolist() == metres[1, 4:8, 4:8].flatten().tolist()
    )  # second row, second column
    tally = depth.DepthTally()
    batch = depth.LabelledBatch(torch.empty(2, 3, 12, 8), metres, [5, 3])
    tally.add_batch(labels.view(2, 3, 2, 16).permute(0, 3, 1, 2), batch)
    assert tally.per_image() == dict(
        image=[3, 5], squared_error=[0, 0], within=[96, 96], known=[96, 96]
    )


def test_scores_on_paper() -> None:
    tally = depth.DepthTally()
    tally.add(
        torch.tensor([[1.0, 3.0], [2.0, 9.0]]), torch.tensor([[1.0, 2.0], [1.7, 0.0]]), image=0
    )
    assert tally.metrics()["RMSE"].value == pytest.approx(np.sqrt((0 + 1 + 0.09) / 3))
    assert tally.metrics()["delta1"].value == pytest.approx(
        100 * 2 / 3
    )  # 3 / 2 is too far, 2 / 1.7 is not


def test_bounded_augmented_memory_is_seeded(toy_depth: Any, colour_grid: Any) -> None:
    settings = replace(PLAIN, memory_size=60, passes=2, augment=True)
    changes: list[dict[str, Any]] = [{}, dict(batch_size=3), dict(seed=1)]
    runs = [
        depth.BENCHMARK.measure(colour_grid(), toy_depth(), replace(settings, **change))
        for change in changes
    ]
    assert runs[0].counts == runs[1].counts != runs[2].counts
    assert runs[0].protocol_hash == runs[1].protocol_hash != runs[2].protocol_hash
    assert runs[0].protocol["memory_effective"] == 60


def test_baselines_share_the_protocol_and_are_ordered(toy_depth: Any, colour_grid: Any) -> None:
    data = toy_depth(limit=(2, None), every=(3, 1))
    records = {
        name: depth.BENCHMARK.measure_baseline(name, data, PLAIN, stride=8)
        for name in depth.BENCHMARK.baselines
    }
    network = depth.BENCHMARK.measure(colour_grid(), data, PLAIN)
    assert {r.protocol_hash for r in records.values()} == {network.protocol_hash}
    train = np.stack([data.train.load(i)[1] for i in range(2)]).astype(np.float64)
    val = np.stack([data.val.load(i)[1] for i in range(4)])
    error = (train[train > 0].mean() - val[val > 0]) ** 2
    assert records["mean"].metrics["RMSE"].value == pytest.approx(np.sqrt(error.mean()))
    known = (train > 0).sum(0)
    assert (known == 0).any()  # the fallback is used
    means = np.where(known > 0, train.sum(0) / np.maximum(known, 1), train[train > 0].mean())
    error = (np.broadcast_to(means, val.shape) - val)[val > 0] ** 2
    assert records["position"].metrics["RMSE"].value == pytest.approx(np.sqrt(error.mean()))
    assert network.metrics["RMSE"].value < 0.6 * records["mean"].metrics["RMSE"].value


def test_settings_and_need() -> None:
    with pytest.raises(
        ValueError, match="compat='hungarian' is not one of blue-std-0.255, crop-scale-2"
    ):
        replace(PLAIN, compat=("hungarian",))
    need = MemoryNeed(1_000_000, 384, 256, 256, label_dtype=torch.float32, word="depths")
    assert need.labels == 1_000_000 * 256 * 4 and "labels of 256 depths 1.02 GB" in str(need)


def whole_and_shared(rank: int, root: str) -> list[list[Any]]:
    """Counts and protocol of a run that every process does alone, and of one that both share."""
    data = DepthFolder(root, "plain", images="images/{split}", depth="depth/{split}")
    settings = depth.Settings(
        size=(40, 48), neighbours=5, memory_size=120, passes=2, backend="torch", batch_size=2
    )
    records = []
    for distributed in (False, True):
        record = depth.BENCHMARK.measure(ColourPosition(8), data, settings, distributed=distributed)
        records.append([record.counts, record.protocol_hash])
    return records


def test_two_processes_equal_one(toy_root: Path, in_two_processes: Callable[..., list]) -> None:
    results = in_two_processes(whole_and_shared, str(toy_root))
    assert results[0] == results[1]
    assert results[0][0] == results[0][1]
