"""Soft patch labels and the choice of patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.retrieval.memory_need import MemoryNeed, check_memory
from benchmarks.frozen.retrieval.patches import PatchMemory, patch_counts, select_patches


def test_patch_counts_equal_loops_over_patches() -> None:
    masks = torch.randint(-1, 4, (3, 12, 20), generator=torch.Generator().manual_seed(0)).to(
        torch.int16
    )
    counts = patch_counts(masks, 4, (3, 5))
    assert counts.shape == (3, 3, 5, 4)
    for b in range(3):
        for i in range(3):
            for j in range(5):
                patch = masks[b, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
                assert counts[b, i, j].tolist() == [(patch == c).sum().item() for c in range(4)]
    with pytest.raises(ValueError, match="grid 5x5 does not divide masks of 12x20"):
        patch_counts(masks, 4, (5, 5))


def select_slowly(counts: np.ndarray, limit: int, rng: np.random.Generator) -> list[int]:
    """The rule read aloud: score = (sum over present classes of patches with that class) x U(0, 1),
    lowest stay.
    """
    noise = rng.random(len(counts))
    scores = {}
    for n, patch in enumerate(counts):
        present = [c for c in range(counts.shape[1]) if patch[c] > 0]
        if present:
            scores[n] = sum(sum(1 for other in counts if other[c] > 0) for c in present) * noise[n]
    return sorted(sorted(scores, key=lambda n: scores[n])[:limit])


@pytest.mark.parametrize("limit", [1, 5, 11])
def test_selection_equals_the_rule_read_aloud(limit: int) -> None:
    counts = torch.from_numpy(
        np.random.default_rng(0).integers(0, 3, (40, 3)) * (np.arange(40)[:, None] % 4 > 0)
    )
    chosen = select_patches(counts, limit, np.random.default_rng(7))
    assert chosen.tolist() == select_slowly(counts.numpy(), limit, np.random.default_rng(7))


def test_selection_never_fails_doubles_or_takes_ignored_patches() -> None:
    counts = torch.zeros(20, 3, dtype=torch.int64)
    counts[[2, 5, 11], 1] = 4
    for limit in (None, 3, 4, 1000):
        assert select_patches(counts, limit, np.random.default_rng(0)).tolist() == [2, 5, 11]
    assert (
        len(select_patches(torch.zeros(20, 3, dtype=torch.int64), 5, np.random.default_rng(0))) == 0
    )


def test_selection_prefers_locally_rare_classes() -> None:
    counts = torch.zeros(100, 2, dtype=torch.int64)
    counts[:, 0] = 4
    counts[:5] = torch.tensor([0, 4])
    kept = sum(
        (select_patches(counts, 10, np.random.default_rng(s)) < 5).sum().item() for s in range(20)
    )
    assert kept > 20 * 4  # nearly all five rare patches; 0.5 on average if chosen blindly


@pytest.mark.parametrize(("pixels", "dtype"), [(64, torch.uint8), (256, torch.float16)])
def test_stored_labels_are_exact(pixels: int, dtype: torch.dtype) -> None:
    memory = PatchMemory(
        2, 3, classes=2, patch_pixels=pixels, dtype=torch.float32, device=torch.device("cpu")
    )
    memory.add(torch.eye(3)[:2], torch.tensor([[pixels, 0], [7, 3]]))
    assert memory.labels.dtype == dtype
    expected = torch.tensor([[1, 0], [7 / pixels, 3 / pixels]])
    torch.testing.assert_close(
        memory.labels.float() * memory.label_scale, expected, atol=1e-7, rtol=0
    )


def test_ignored_pixels_shrink_the_sum() -> None:
    masks = torch.zeros(1, 4, 4, dtype=torch.int16)
    masks[0, 0] = IGNORE
    assert (patch_counts(masks, 2, (1, 1)).sum() / 16).item() == 0.75


def test_memory_need_of_the_specification() -> None:
    assert MemoryNeed(10_240_000, 384, 21, 196).keys == pytest.approx(15.7e9, rel=0.01)
    assert MemoryNeed(10_240_000, 2048, 21, 196).keys == pytest.approx(83.9e9, rel=0.01)
    assert MemoryNeed(10_240_000, 384, 151, 256).labels == pytest.approx(
        6.2e9 / 2, rel=0.01
    )  # half of fp32


@pytest.mark.parametrize(
    ("available", "change"),
    [(10, "dtype='float16' would fit"), (4, "placement='shard' over"), (0.02, "memory_size=")],
)
def test_refusal_names_the_smallest_change(available: float, change: str) -> None:
    need = MemoryNeed(10_240_000, 384, 21, 196)
    check_memory(need, int(20e9))
    with pytest.raises(MemoryError, match=change):
        check_memory(need, int(available * 1e9))
