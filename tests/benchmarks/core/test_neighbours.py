"""All back-ends find the same neighbours."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from benchmarks.core import neighbours
from benchmarks.core.neighbours import build_index, resolve_backend


@pytest.fixture
def unit_vectors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    keys, queries = (
        torch.randn(3000, 32, generator=generator),
        torch.randn(150, 32, generator=generator),
    )
    return torch.nn.functional.normalize(keys, dim=1), torch.nn.functional.normalize(queries, dim=1)


def brute_force(
    keys: torch.Tensor, queries: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    ranked = (queries.double() @ keys.double().T).sort(dim=1, descending=True)
    return ranked.values[:, :k].float(), ranked.indices[:, :k]


@pytest.mark.parametrize("backend", ["torch", "faiss-cpu"])
@pytest.mark.parametrize("k", [1, 30])
def test_back_ends_equal_a_full_sort(
    unit_vectors: tuple[torch.Tensor, torch.Tensor],
    backend: str,
    k: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(neighbours.KEY_CHUNK, "cpu", 700)  # several chunks, the last one smaller
    monkeypatch.setitem(neighbours.QUERY_CHUNK, "cpu", 64)
    keys, queries = unit_vectors
    similarity, found = build_index(keys, backend).search(queries, k)
    expected, where = brute_force(keys, queries, k)
    assert torch.equal(found, where)
    torch.testing.assert_close(similarity, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", ["torch", "faiss-cpu"])
def test_half_precision_keys_keep_the_neighbours(
    unit_vectors: tuple[torch.Tensor, torch.Tensor], backend: str
) -> None:
    keys, queries = unit_vectors
    found = build_index(keys.half(), backend).search(queries, 30)[1]
    exact = brute_force(keys, queries, 30)[1]
    recall = (
        sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
        / exact.numel()
    )
    assert recall >= 0.95


@pytest.mark.parametrize("backend", ["torch", "faiss-cpu"])
def test_half_precision_keys_are_rounded_and_nothing_else(
    unit_vectors: tuple[torch.Tensor, torch.Tensor], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products are those of float32, whatever the size of the pieces that are widened."""
    monkeypatch.setattr(neighbours, "_WIDENED_KEYS", 700)
    keys, queries = unit_vectors
    similarity, found = build_index(keys.half(), backend).search(queries, 30)
    expected, where = brute_force(keys.half().float(), queries, 30)
    assert torch.equal(found, where)
    torch.testing.assert_close(similarity, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", ["best last", "best first", "all in one block"])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1500])
def test_the_order_of_the_keys_does_not_matter(
    order: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are skipped by their largest similarity: none may be skipped that holds a neighbour,
    also where all neighbours share one block or every chunk beats the one before.
    """
    monkeypatch.setitem(neighbours.KEY_CHUNK, "cpu", 320)
    generator = torch.Generator().manual_seed(0)
    angles = torch.rand(count, generator=generator).mul(3).sort(descending=order != "best first")[0]
    if order == "all in one block":
        angles[count // 2 : count // 2 + 20] /= 1000
    keys = torch.stack([angles.cos(), angles.sin()], 1)
    similarity, found = build_index(keys, "torch").search(torch.eye(2), 10)
    expected, where = brute_force(keys, torch.eye(2), 10)
    torch.testing.assert_close(similarity, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(keys[found], keys[where], atol=1e-3, rtol=0)  # ties in float32


@pytest.mark.parametrize("backend", ["torch", "faiss-cpu"])
def test_more_neighbours_than_keys_are_clamped(backend: str) -> None:
    keys = torch.eye(4)
    similarity, found = build_index(keys, backend).search(keys[:2], 30)
    assert similarity.shape == found.shape == (2, 4)
    assert sorted(found[0].tolist()) == [0, 1, 2, 3]


def test_equal_keys_give_every_query_the_same_neighbours() -> None:
    keys = torch.zeros(500, 4)
    keys[:, 0] = 1
    for backend in ("torch", "faiss-cpu"):
        found = build_index(keys, backend).search(keys[:100], 10)[1]
        assert (found.sort().values == found[0].sort().values).all()


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="did you mean 'faiss-cpu'"):
        resolve_backend("faisscpu", "cpu")
    with pytest.raises(ValueError, match=r"M > 0, found shape \(0, 3\)"):
        build_index(torch.zeros(0, 3))


def test_a_back_end_that_cannot_run_here_becomes_torch_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    neighbours._torch_instead.cache_clear()
    assert [resolve_backend("faiss-cpu", "cpu") for _ in range(2)] == ["torch", "torch"]
    assert [str(w.message) for w in recwarn if "faiss is not installed" in str(w.message)] == [
        "backend='faiss-cpu': faiss is not installed (pip install faiss-cpu); torch searches "
        "instead, with the same neighbours"
    ]
    assert resolve_backend("auto", "cpu") == "torch"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_finds_the_same_neighbours(unit_vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
    keys, queries = unit_vectors
    found = build_index(keys.cuda(), "torch").search(queries.cuda(), 30)[1].cpu()
    assert torch.equal(found, brute_force(keys, queries, 30)[1])
