"""The golden example and the properties of the decoder (hummingbird specification, section 7), in
float64.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.core.neighbours import TorchIndex
from benchmarks.core.scores import hungarian, mean_iou
from benchmarks.frozen.retrieval.decode import decode

KEYS = torch.tensor([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
QUERIES = torch.tensor([[2, 0], [0, 3], [0.8, 0.6]], dtype=torch.float64)


def attend(
    queries: torch.Tensor, keys: torch.Tensor, labels: torch.Tensor, *, k: int, beta: float
) -> torch.Tensor:
    """(Q, C) by the pieces under test; normalises both sides."""
    unit = torch.nn.functional.normalize
    similarity, found = TorchIndex(unit(keys, dim=1)).search(unit(queries, dim=1), k)
    return decode(similarity, labels[found], beta)


def attend_slowly(
    queries: np.ndarray, keys: np.ndarray, labels: np.ndarray, k: int, beta: float
) -> np.ndarray:
    """The same from the formula, one query and one neighbour at a time."""
    rows = []
    for query in queries:
        cosines = [q @ query / np.linalg.norm(q) / np.linalg.norm(query) for q in keys]
        nearest = sorted(range(len(keys)), key=lambda i: -cosines[i])[:k]
        weights = [np.exp((cosines[i] - max(cosines)) / beta) for i in nearest]
        rows.append(
            sum(w * labels[i] for w, i in zip(weights, nearest, strict=True)) / sum(weights)
        )
    return np.array(rows)


@pytest.fixture
def random_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(200, 8, generator=generator, dtype=torch.float64)
    queries = torch.randn(30, 8, generator=generator, dtype=torch.float64)
    labels = torch.rand(200, 5, generator=generator, dtype=torch.float64)
    return queries, keys, labels / labels.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.02, [(1.000000, 0.000000), (0.000023, 0.999977), (0.500168, 0.499832)]),
        (0.1, [(0.991007, 0.008993), (0.059601, 0.940399), (0.583991, 0.416009)]),
        (1.0, [(0.799344, 0.200656), (0.225083, 0.774917), (0.730043, 0.269957)]),
    ],
)
def test_golden_example_to_its_printed_digits(
    beta: float, expected: list[tuple[float, float]]
) -> None:
    result = attend(QUERIES, KEYS, LABELS, k=2, beta=beta)
    assert result.dtype == torch.float64
    torch.testing.assert_close(
        result[:, :2], torch.tensor(expected, dtype=torch.float64), atol=5e-7, rtol=0
    )
    assert (result[:, 2] == 0).all()


def test_golden_neighbours() -> None:
    _, found = TorchIndex(KEYS).search(torch.nn.functional.normalize(QUERIES, dim=1), 2)
    assert found.tolist() == [[0, 1], [2, 1], [1, 0]]


def test_equals_the_slow_formula(random_case: tuple[torch.Tensor, ...]) -> None:
    queries, keys, labels = random_case
    expected = attend_slowly(queries.numpy(), keys.numpy(), labels.numpy(), 7, 0.05)
    np.testing.assert_allclose(
        attend(queries, keys, labels, k=7, beta=0.05).numpy(), expected, atol=1e-12
    )


def test_labels_without_ignored_pixels_give_distributions(
    random_case: tuple[torch.Tensor, ...],
) -> None:
    result = attend(*random_case, k=7, beta=0.02)
    assert (result >= 0).all()
    torch.testing.assert_close(result.sum(1), torch.ones(30, dtype=torch.float64))


def test_unchanged_by_scale_rotation_and_order(random_case: tuple[torch.Tensor, ...]) -> None:
    queries, keys, labels = random_case
    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(200, generator=generator)
    plain = attend(queries, keys, labels, k=7, beta=0.02)
    for changed in (
        attend(queries * 7.5, keys * 0.3, labels, k=7, beta=0.02),
        attend(queries @ rotation, keys @ rotation, labels, k=7, beta=0.02),
        attend(queries, keys[order], labels[order], k=7, beta=0.02),
    ):
        torch.testing.assert_close(changed, plain, atol=1e-9, rtol=0)


def test_class_permutation_permutes_the_answer(random_case: tuple[torch.Tensor, ...]) -> None:
    queries, keys, labels = random_case
    order = torch.tensor([3, 0, 4, 1, 2])
    plain = attend(queries, keys, labels, k=7, beta=0.02)
    torch.testing.assert_close(
        attend(queries, keys, labels[:, order], k=7, beta=0.02), plain[:, order]
    )


def test_limits_of_the_temperature(random_case: tuple[torch.Tensor, ...]) -> None:
    queries, keys, labels = random_case
    unit = torch.nn.functional.normalize
    found = TorchIndex(unit(keys, dim=1)).search(unit(queries, dim=1), 7)[1]
    torch.testing.assert_close(attend(queries, keys, labels, k=7, beta=1e-7), labels[found[:, 0]])
    torch.testing.assert_close(attend(queries, keys, labels, k=7, beta=1e9), labels[found].mean(1))


def test_memory_of_the_queries_with_one_neighbour_returns_their_labels(
    random_case: tuple[torch.Tensor, ...],
) -> None:
    _, keys, labels = random_case
    torch.testing.assert_close(attend(keys, keys, labels, k=1, beta=0.02), labels)


def test_more_neighbours_than_keys_is_full_attention(random_case: tuple[torch.Tensor, ...]) -> None:
    queries, keys, labels = random_case
    unit = torch.nn.functional.normalize
    full = torch.softmax(unit(queries, dim=1) @ unit(keys, dim=1).T / 0.02, dim=1) @ labels
    torch.testing.assert_close(attend(queries, keys, labels, k=500, beta=0.02), full)


def test_identity_is_never_above_hungarian() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        confusion = rng.integers(0, 4, (5, 5)) * rng.integers(0, 2, (5, 5)) * rng.integers(0, 2, 5)
        if confusion.sum():
            assert mean_iou(confusion) <= mean_iou(hungarian(confusion)) + 1e-12


def test_hungarian_undoes_a_renaming() -> None:
    confusion = np.diag([5, 3, 2])[:, [2, 0, 1]]
    assert mean_iou(hungarian(confusion)) == 1
    assert mean_iou(confusion) == 0


def test_renaming_all_classes_leaves_the_mean_iou() -> None:
    confusion = np.random.default_rng(0).integers(0, 9, (5, 5))
    order = [3, 0, 4, 1, 2]
    assert mean_iou(confusion[order][:, order]) == pytest.approx(mean_iou(confusion), rel=1e-12)


def test_mean_iou_by_hand() -> None:
    # class 0: 3 / (3 + 1 + 2), class 1: 4 / (4 + 2 + 1), class 2 nowhere
    confusion = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert mean_iou(confusion) == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert mean_iou(confusion, absent_as_zero=True) == pytest.approx((3 / 6 + 4 / 7) / 3)
