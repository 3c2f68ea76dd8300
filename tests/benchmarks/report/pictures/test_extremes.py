"""Images on which the arms differ: chosen by what the records keep of every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.core.record import Metric, Record
from benchmarks.report.figures import Sources
from benchmarks.report.pictures.extremes import EXTREMES
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.statistics.ranking import rank

HITS = {  # per arm and seed: right or wrong on 8 images
    "a": ([1, 1, 1, 0, 1, 1, 0, 1], [1, 1, 1, 0, 1, 1, 0, 0]),
    "b": ([0, 1, 0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 0, 0, 1]),
}


def sources(*, counts: bool = True) -> Sources:
    runs: dict[str, list[Run]] = {}
    for arm, seeds in HITS.items():
        for seed, hits in enumerate(seeds):
            metrics = {"top1": Metric(100 * float(np.mean(hits)), "%")}
            kept = {"top1": hits} if counts else {}
            record = Record("knn", metrics, {}, kept)
            runs.setdefault(arm, []).append(Run(record, f"{arm}/seed_{seed}", seed, "knn"))
    ranking = rank([sample_of(arm, own, "knn.top1") for arm, own in runs.items()])
    return Sources(
        arms=list(HITS),
        runs=runs,
        rankings={"knn.top1": ranking},
        scored=lambda number: np.full((8, 8, 3), 20 * number, np.uint8),
    )


def test_images_are_chosen_by_the_mean_over_seeds(tmp_path: Path) -> None:
    differ, best, worst = EXTREMES.gather(sources()).values()
    assert differ.numbers[0] == 0 and differ.scores["a"][0] == 100 and differ.scores["b"][0] == 0
    assert best.numbers[:2] == [1, 4] and best.label == "knn.top1 [%]"
    assert worst.numbers[:2] == [3, 6] and worst.scores["a"][:2].tolist() == [0, 0]
    assert (worst.pictures[1] == 120).all()
    EXTREMES.draw(differ, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert min(image.size) > 150


def test_without_counts_nothing_is_shown() -> None:
    assert EXTREMES.gather(sources(counts=False)) == {}
