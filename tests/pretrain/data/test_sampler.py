"""The sampler: permutations, partition among processes, exact resuming at any step and layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from pretrain.data import sampler as module
from pretrain.data.sampler import ORDER, REPLACEMENT, SAMPLE, EpochSampler, stream

Key = tuple[int, int]


def keys(sampler: EpochSampler, count: int) -> list[Key]:
    return list(itertools.islice(iter(sampler), count))


def global_batches(
    length: int, global_batch: int, world: int, *, seed: int, count: int, state: dict | None = None
) -> list[list[Key]]:
    """The first ``count`` global batches put together from every rank's sampler."""
    iterators: list[Iterator[Key]] = []
    for rank in range(world):
        sampler = EpochSampler(length, global_batch, rank=rank, world=world, seed=seed)
        if state is not None:
            sampler.load_state(state)
        iterators.append(iter(sampler))
    share = global_batch // world
    return [[key for it in iterators for key in itertools.islice(it, share)] for _ in range(count)]


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, int]:
    world = draw(st.integers(1, 4))
    global_batch = world * draw(st.integers(1, 5))
    length = global_batch + draw(st.integers(0, 40))
    return dict(
        length=length, global_batch=global_batch, world=world, seed=draw(st.integers(0, 2**63 - 1))
    )


@given(layouts())
@settings(max_examples=60, deadline=None)
def test_ranks_partition_an_epoch_and_an_epoch_is_a_permutation(layout: dict[str, int]) -> None:
    length, size = layout["length"], layout["global_batch"]
    per_epoch = length // size
    batches = global_batches(**layout, count=3 * per_epoch)
    sampler = EpochSampler(length, size, seed=layout["seed"])
    for epoch in range(3):
        order = sampler.order(epoch).tolist()
        assert sorted(order) == list(range(length))
        for b in range(per_epoch):
            assert batches[epoch * per_epoch + b] == [
                (epoch, i) for i in order[b * size : (b + 1) * size]
            ]


@given(layouts(), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_resuming_at_any_step_equals_going_on(layout: dict[str, int], step: int) -> None:
    whole = global_batches(**layout, count=step + 20)
    state = EpochSampler(layout["length"], layout["global_batch"], seed=layout["seed"]).state_after(
        step
    )
    assert global_batches(**layout, count=20, state=state) == whole[step:]


@given(layouts(), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_resuming_twice_counts_from_the_beginning(
    layout: dict[str, int], first: int, more: int
) -> None:
    args = dict(length=layout["length"], global_batch=layout["global_batch"], seed=layout["seed"])
    resumed = EpochSampler(**args)
    resumed.load_state(EpochSampler(**args).state_after(first))
    assert resumed.state_after(first + more) == EpochSampler(**args).state_after(first + more)
    assert resumed.state_after(first)["batches"] == first
    if first:
        with pytest.raises(ValueError, match=f"batches={first - 1}; legal is {first}"):
            resumed.state_after(first - 1)


@given(layouts(), st.integers(0, 30), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_another_world_size_sees_the_same_global_batches(
    layout: dict[str, int], step: int, scale: int
) -> None:
    size = layout["global_batch"] * scale
    length = layout["length"] + size
    old = dict(length=length, global_batch=size, world=layout["world"], seed=layout["seed"])
    state = EpochSampler(length, size, world=layout["world"], seed=layout["seed"]).state_after(step)
    whole = global_batches(**old, count=step + 10)
    assert global_batches(**{**old, "world": scale}, count=10, state=state) == whole[step:]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 12), st.integers(0, 25))
@settings(max_examples=80, deadline=None)
def test_another_global_batch_visits_the_rest_of_the_epoch_once(
    extra: int, old: int, new: int, step: int
) -> None:
    length = max(old, new) + extra
    before = EpochSampler(length, old, seed=5)
    state = before.state_after(step)
    seen = [key for key in keys(before, step * old) if key[0] == state["epoch"]]
    after = EpochSampler(length, new, seed=5)
    after.load_state(state)
    epoch_rest = (length - len(seen)) // new * new
    rest = keys(after, epoch_rest + new)
    visited = [i for _, i in seen + rest[:epoch_rest]]
    assert (
        len(visited) == len(set(visited)) > length - new
    )  # each once, all but the incomplete last batch
    assert all(epoch == state["epoch"] for epoch, _ in rest[:epoch_rest])
    assert rest[epoch_rest][0] == state["epoch"] + 1
    # and the counting of a state stays right across the change, also at and behind the end of its
    # epoch
    assert after.state_after(step)["position"] == len(seen)
    assert after.state_after(step + epoch_rest // new)["position"] == len(seen) + epoch_rest
    more = epoch_rest // new + 1
    assert after.state_after(step + more)["epoch"] == state["epoch"] + 1
    assert after.state_after(step + more)["position"] == new


def test_changes_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(module, "print_log", lambda text, **_: texts.append(text))
    state = EpochSampler(100, 8).state_after(3)
    EpochSampler(100, 10).load_state(state)
    EpochSampler(100, 8, world=2).load_state(state)
    EpochSampler(100, 8).load_state(state)
    assert len(texts) == 2
    assert (
        "global_batch changed from 8 to 10" in texts[0]
        and "exact per epoch (the 76 images" in texts[0]
    )
    assert "number of processes changed from 1 to 2" in texts[1] and "same images" in texts[1]


def test_epochs_and_seeds_differ() -> None:
    sampler = EpochSampler(1000, 10, seed=0)
    orders = [sampler.order(0), sampler.order(1), EpochSampler(1000, 10, seed=1).order(0)]
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).mean() < 0.02  # chance: 1 fixed point of 1000 on average


def test_every_position_is_equally_likely() -> None:
    """Image 0 lands everywhere: chi-square of 10 bins over 4,000 epochs, 99.9 % quantile at 9
    degrees is 27.9.
    """
    sampler = EpochSampler(10, 10, seed=3)
    places = np.bincount(
        [int(np.flatnonzero(sampler.order(e) == 0)[0]) for e in range(4000)], minlength=10
    )
    assert ((places - 400) ** 2 / 400).sum() < 27.9


def test_streams_never_share_numbers() -> None:
    names = [
        (s, p, e, i)
        for s in (0, 1)
        for p in (ORDER, SAMPLE, REPLACEMENT)
        for e in (0, 1)
        for i in (0, 1)
    ]
    numbers = [x for name in names for x in stream(*name).random_raw(50).tolist()]
    assert len(set(numbers)) == len(numbers)


def test_order_is_the_same_everywhere() -> None:
    """Frozen from this implementation (NumPy 2.4.6, x86-64): a change would break the resuming of
    old checkpoints.
    """
    assert EpochSampler(8, 8, seed=42).order(3).tolist() == [7, 6, 1, 0, 4, 5, 2, 3]


def test_state_costs_the_same_at_any_step() -> None:
    sampler = EpochSampler(1_281_167, 1024, seed=0)
    state = sampler.state_after(10**15)  # a loop over steps or epochs would not end
    epoch, rest = divmod(10**15, 1251)
    assert (state["epoch"], state["position"]) == (epoch, rest * 1024)
    assert all(type(value) is int for value in state.values())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            dict(length=9, global_batch=10),
            ["9 images", "global_batch=10", "at most 9", "add images"],
        ),
        (dict(length=0, global_batch=1), ["0 images"]),
        (dict(length=9, global_batch=4, world=3), ["global_batch=4 with 3 processes", "multiple"]),
        (dict(length=9, global_batch=0), ["global_batch=0"]),
        (dict(length=9, global_batch=3, rank=3, world=3), ["rank=3, world=3"]),
        (dict(length=9, global_batch=3, seed=-1), ["seed=-1"]),
    ],
)
def test_illegal_arguments(arguments: dict[str, int], parts: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        EpochSampler(**arguments)
    for word in parts:
        assert word in str(caught.value)


def test_state_of_another_run_is_refused() -> None:
    state = EpochSampler(20, 4, seed=1).state_after(2)
    with pytest.raises(ValueError, match="20 as images in the source, this run has 21"):
        EpochSampler(21, 4, seed=1).load_state(state)
    with pytest.raises(ValueError, match="1 as seed, this run has 2"):
        EpochSampler(20, 4, seed=2).load_state(state)
    with pytest.raises(ValueError, match="lacks batches, epoch"):
        EpochSampler(20, 4).load_state(dict(length=20))


class Echo(Dataset):
    """Returns its key."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, key: Key) -> torch.Tensor:
        return torch.tensor(key)


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_through_a_data_loader_that_fetches_ahead(workers: int) -> None:
    def loader(state: dict | None = None) -> DataLoader:
        sampler = EpochSampler(23, 4, rank=1, world=2, seed=9)
        if state is not None:
            sampler.load_state(state)
        return DataLoader(Echo(), batch_size=2, sampler=sampler, num_workers=workers)

    first = loader()
    whole = [batch.tolist() for batch in itertools.islice(first, 14)]
    state = first.sampler.state_after(8)
    rest = [batch.tolist() for batch in itertools.islice(loader(state), 6)]
    assert rest == whole[8:]
