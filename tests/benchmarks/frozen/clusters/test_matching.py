"""From clusters to classes: the specification's vector, which NeCo's own functions gave."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.core.scores import mean_iou
from benchmarks.frozen.clusters.matching import MATCHINGS, classes_of

TABLE = np.array([[20, 1, 0], [3, 12, 0], [4, 0, 3], [6, 5, 1]])


def score(table: np.ndarray, classes: np.ndarray, *, absent_as_zero: bool = False) -> float:
    confusion = np.zeros((table.shape[1],) * 2, np.int64)
    np.add.at(confusion.T, classes, table)
    return mean_iou(confusion, absent_as_zero=absent_as_zero)


@pytest.mark.parametrize(
    ("matching", "classes", "iou"),
    [
        ("hungarian", [0, 1, 2, 0], 0.532143),
        ("iou", [0, 1, 2, 1], 0.523459),
        ("precision", [0, 1, 0, 0], 0.423034),
    ],
)
def test_matchings_of_the_vector(matching: str, classes: list[int], iou: float) -> None:
    named = classes_of(TABLE, matching)
    assert named.tolist() == classes
    assert score(TABLE, named) == pytest.approx(iou, abs=1e-6)


def test_an_absent_class_takes_a_cluster_only_if_asked() -> None:
    table = np.pad(TABLE, ((0, 0), (0, 1)))
    assert classes_of(table, "hungarian").tolist() == [0, 1, 2, 0]
    named = classes_of(table, "hungarian", absent_classes=True)
    assert sorted(named) == [0, 1, 2, 3]
    assert score(table, named, absent_as_zero=True) == pytest.approx(0.383666, abs=1e-6)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_names_of_clusters_do_not_matter(matching: str) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 1000, (7, 5))
    order = rng.permutation(7)
    named = classes_of(table, matching)
    assert classes_of(table[order], matching).tolist() == named[order].tolist()


@pytest.mark.parametrize("matching", MATCHINGS)
def test_perfect_clusters_score_one(matching: str) -> None:
    table = np.diag([5, 3, 9, 1])[[2, 0, 3, 1]]
    assert score(table, classes_of(table, matching)) == 1


def test_fewer_clusters_than_classes_leave_some_out() -> None:
    named = classes_of(np.array([[1, 9, 0], [0, 8, 7]]), "hungarian")
    assert named.tolist() == [1, 2]
