"""The class-balanced sampler: equal shares of the classes, and everything that EpochSampler
promises.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.sampler import ClassBalancedSampler, EpochSampler

Key = tuple[int, int]
#: Four classes of 40, 3, 10 and 1 images, and 6 images without a label, mixed.
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 7, -1], [40, 3, 10, 1, 6]))


def make(global_batch: int = 12, images_per_class: int = 3, **options: int) -> ClassBalancedSampler:
    return ClassBalancedSampler(LABELS, global_batch, images_per_class=images_per_class, **options)


def take(sampler: EpochSampler, count: int) -> list[Key]:
    return list(itertools.islice(iter(sampler), count))


@given(st.integers(1, 6), st.integers(0, 2**63 - 1), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_groups_are_of_one_class_and_classes_come_equally_often(
    size: int, seed: int, epoch: int
) -> None:
    order = make(6 * size, size, seed=seed).order(epoch) if 6 * size <= len(LABELS) else None
    assert order.shape == LABELS.shape
    groups = [LABELS[order[start : start + size]] for start in range(0, len(order), size)]
    assert all((group == group[0]).all() for group in groups)
    kinds = np.array([group[0] for group in groups])
    assert (kinds == -1).sum() == round(len(groups) * 6 / 60)
    counts = [(kinds == c).sum() for c in (0, 1, 2, 7)]
    assert max(counts) - min(counts) <= 1
    labelled = kinds[kinds >= 0]
    for start in range(0, len(labelled) - 3, 4):  # every round over the classes holds each once
        assert sorted(labelled[start : start + 4]) == [0, 1, 2, 7]


def test_images_of_a_class_take_turns_and_fill_groups_without_repetition() -> None:
    sampler = make(images_per_class=3)
    seen = np.zeros(len(LABELS), int)
    for epoch in range(200):
        order = sampler.order(epoch)
        np.add.at(seen, order, 1)
        for group in order.reshape(-1, 3):
            assert len(set(group.tolist())) == (1 if LABELS[group[0]] == 7 else 3)
    for c in (0, 1, 2):
        share = seen[LABELS == c] / seen[LABELS == c].mean()
        assert (
            share.min() > 0.6 and share.max() < 1.4
        )  # about 70 visits of each image of the largest class


def test_an_image_that_comes_again_in_an_epoch_has_a_key_of_its_own() -> None:
    keys = take(make(), 600)
    assert len(set(keys)) == len(keys)
    assert {epoch & 0xFFFFFFFF for epoch, _ in keys[:60]} == {
        0
    }  # what is above 32 bits counts the repetitions
    again = [epoch >> 32 for epoch, index in keys[:60] if LABELS[index] == 7]
    assert again == list(range(len(again))) and len(again) >= 12


@given(st.sampled_from([1, 2, 3, 6]), st.integers(0, 20), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_resuming_and_other_numbers_of_processes_change_nothing(
    world: int, step: int, seed: int
) -> None:
    whole = take(make(seed=seed), 12 * (step + 8))
    state = make(seed=seed).state_after(step)
    parts = []
    for rank in range(world):
        sampler = make(seed=seed, rank=rank, world=world)
        sampler.load_state(state)
        parts.append(take(sampler, 8 * 12 // world))
    share = 12 // world
    actual = [key for b in range(8) for part in parts for key in part[b * share : (b + 1) * share]]
    assert actual == whole[12 * step :]


def test_epochs_and_seeds_differ() -> None:
    orders = [make().order(0), make().order(1), make(seed=1).order(0)]
    assert all((a == b).mean() < 0.2 for a, b in itertools.combinations(orders, 2))


def test_order_is_the_same_everywhere() -> None:
    """Frozen from this implementation (NumPy 2.4.6, x86-64): a change would break the resuming of
    old checkpoints.
    """
    sampler = ClassBalancedSampler(
        np.array([0, 0, 0, 1, 1, -1, 0, -1]), 4, images_per_class=2, seed=42
    )
    again = 3 + (1 << 32)  # images 4 and 3 for the second time
    views = [3, 3, 3, 3, again, again, 3, 3]
    assert sampler.keys(3).tolist() == [
        list(key) for key in zip(views, [6, 1, 3, 4, 4, 3, 7, 5], strict=True)
    ]


def test_a_state_of_another_order_is_refused() -> None:
    plain, balanced = EpochSampler(60, 12), make()
    with pytest.raises(ValueError, match="loader.images_per_class=None, this run has 3"):
        make().load_state(plain.state_after(1))
    with pytest.raises(ValueError, match="loader.images_per_class=3, this run has None"):
        EpochSampler(60, 12).load_state(balanced.state_after(1))
    with pytest.raises(ValueError, match="loader.images_per_class=3, this run has 4"):
        make(images_per_class=4).load_state(balanced.state_after(1))


@pytest.mark.parametrize("size", [0, -1, 5])
def test_illegal_sizes(size: int) -> None:
    with pytest.raises(
        ValueError, match=f"loader.images_per_class={size}: must be at least 1 and divide"
    ):
        make(images_per_class=size)


def test_labels_are_needed() -> None:
    with pytest.raises(ValueError, match="no image of the source has a label"):
        ClassBalancedSampler(np.full(20, -1), 4, images_per_class=2)
