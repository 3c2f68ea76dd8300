"""The order in which images are visited, as a pure function of (seed, epoch, position).

Nothing is ever walked through: the order of an epoch is computed from the seed and the epoch's
number alone, and the state of a run is an epoch and a position in it. So resuming costs one shuffle
at any step, whatever the number of workers, and the number of processes does not enter the order at
all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Sampler

#: Uses of randomness that must not share numbers although they share the seed.
ORDER, SAMPLE, REPLACEMENT, BALANCE, JITTER = range(5)


def stream(seed: int, purpose: int, epoch: int, index: int = 0) -> np.random.Philox:
    """An independent random stream for each (seed, purpose, epoch, index), in O(1).

    Philox is counter-based: seed and purpose are the key, epoch and index the upper words of the
    counter, whose lowest word (2^64 blocks) is left to the stream itself. Its raw numbers are the
    same on every machine and in every version of NumPy.
    """
    return np.random.Philox(key=[seed, purpose], counter=[0, 0, index, epoch])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) keys for one process, without end.

    Every epoch is a fresh permutation. Global batch b of an epoch is ``permutation[b * G : (b + 1)
    * G]`` with G = ``global_batch``, of which process ``rank`` gets the contiguous ``rank``-th part
    of ``G / world`` keys; the tail that does not fill a global batch is dropped. With gradient
    accumulation a data loader simply cuts this part into micro-batches, so one global batch is
    always one optimiser step.

    A run resumed at another world size sees the same global batches. A run resumed with another
    ``global_batch`` visits each image that its epoch has not visited yet once (less the tail), in
    the same order.

    Args:
        length: Number of images.
        global_batch: Images per optimiser step over all processes and accumulation steps.
        rank: This process, 0 to ``world - 1``.
        world: Number of processes.
        seed: At least 0, below 2^63.

    Raises:
        ValueError: fewer images than ``global_batch``, ``world`` does not divide it, or a value out
            of range.
    """

    #: How many images of a class follow each other; None where classes play no part.
    images_per_class: int | None = None

    def __init__(
        self, length: int, global_batch: int, *, rank: int = 0, world: int = 1, seed: int = 0
    ) -> None:
        _validate(length, global_batch, rank=rank, world=world, seed=seed)
        self.length = length
        self.global_batch = global_batch
        self.rank = rank
        self.world = world
        self.seed = seed
        self._epoch = 0
        self._position = 0  # images of the epoch that all processes together have consumed
        self._batches = 0  # global batches of the run before that

    @property
    def batches_per_epoch(self) -> int:
        """Global batches (optimiser steps) in a whole epoch."""
        return self.length // self.global_batch

    def order(self, epoch: int) -> np.ndarray:
        """An epoch's permutation: (length,) int64. O(length log length), ImageNet-1k: 0.15 s."""
        # Sorting raw numbers instead of Generator.permutation, whose result may change with NumPy's
        # version.
        raw = stream(self.seed, ORDER, epoch).random_raw(self.length)
        return np.argsort(raw, kind="stable")

    def keys(self, epoch: int) -> np.ndarray:
        """What an epoch yields: (length, 2) int64, the number that names a sample's random views,
        and the image.
        """
        return np.stack([np.full(self.length, epoch), self.order(epoch)], 1)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Starts where the loaded state says (at epoch 0 without one), on each call anew."""
        epoch, position = self._epoch, self._position
        share = self.global_batch // self.world
        while True:
            keys = self.keys(epoch)
            for start in range(position, self.length - self.global_batch + 1, self.global_batch):
                mine = start + self.rank * share
                yield from map(tuple, keys[mine : mine + share].tolist())
            epoch, position = epoch + 1, 0

    def state_after(self, batches: int) -> dict[str, int]:
        """The state of a run that has consumed ``batches`` global batches since its very beginning.

        Counted by whoever consumes them, because workers fetch ahead of training. O(1); plain ints,
        equal on all processes.

        Raises:
            ValueError: ``batches`` is less than what the loaded state had consumed already.
        """
        more = batches - self._batches
        if more < 0:
            raise ValueError(
                f"state_after: batches={batches}; legal is {self._batches} (where this run "
                "began) or more"
            )
        left = (self.length - self._position) // self.global_batch
        if more <= left:
            epoch, position = self._epoch, self._position + more * self.global_batch
        else:
            epochs, rest = divmod(more - left - 1, self.batches_per_epoch)
            epoch, position = self._epoch + 1 + epochs, (rest + 1) * self.global_batch
        return dict(
            epoch=epoch,
            position=position,
            batches=batches,
            length=self.length,
            global_batch=self.global_batch,
            world=self.world,
            seed=self.seed,
            **(
                {}
                if self.images_per_class is None
                else dict(images_per_class=self.images_per_class)
            ),
        )

    def load_state(self, state: dict[str, int]) -> None:
        """Continues behind ``state``; the next ``iter()`` starts there. A changed layout is logged
        with its effect.

        Raises:
            ValueError: the state belongs to another seed or another number of images, or is no
                state.
        """
        missing = {"epoch", "position", "batches", "length", "global_batch", "world", "seed"} - set(
            state
        )
        if missing:
            raise ValueError(
                f"sampler state lacks {', '.join(sorted(missing))}; it was not written by "
                "EpochSampler"
            )
        if state.get("images_per_class") != self.images_per_class:
            raise ValueError(
                "resume: the checkpoint was written with "
                f"loader.images_per_class={state.get('images_per_class')}, this run has "
                f"{self.images_per_class}; the order of images would be another. Restore it, or "
                "start a new run from the weights with load_from"
            )
        for name, what in (("length", "images in the source"), ("seed", "seed")):
            if state[name] != getattr(self, name):
                raise ValueError(
                    f"resume: the checkpoint was written with {state[name]} as {what}, this run "
                    f"has {getattr(self, name)}; the order of images would be another. Restore "
                    "it, or start a new run from the weights with load_from"
                )
        self._epoch, self._position, self._batches = (
            state["epoch"],
            state["position"],
            state["batches"],
        )
        self._report_changes(state)

    def _report_changes(self, state: dict[str, int]) -> None:
        if state["global_batch"] != self.global_batch:
            print_log(
                f"resume: global_batch changed from {state['global_batch']} to "
                f"{self.global_batch}: the data order is exact per epoch (the "
                f"{self.length - self._position} images that epoch {self._epoch} has not "
                "visited are each visited once, less an incomplete last batch), the single "
                "batches differ",
                logger="current",
                level=logging.WARNING,
            )
        elif state["world"] != self.world:
            print_log(
                f"resume: the number of processes changed from {state['world']} to "
                f"{self.world}: the data order is exact per epoch, and every global batch holds "
                "the same images, because global_batch is unchanged",
                logger="current",
                level=logging.INFO,
            )


class ClassBalancedSampler(EpochSampler):
    """Shows all classes equally often, ``images_per_class`` images of a class after each other.

    The classes take turns in an order drawn anew each round, so the groups of a global batch are of
    different classes unless a round ends inside it. An epoch still has ``length`` places, a pure
    function of seed and epoch: images of small classes come several times, each time with other
    views, and not all images of large classes come. Images without a label keep their share of the
    places, in groups of their own.

    Args:
        labels: (length,) int64, class of each image, below 0 for none.
        images_per_class: at least 1. A class with fewer images repeats some within a group.
        global_batch, rank, world, seed: as in :class:`EpochSampler`, a multiple of
            ``images_per_class``.

    Raises:
        ValueError: as :class:`EpochSampler`, or no image has a label, or a value out of range.
    """

    def __init__(
        self,
        labels: np.ndarray,
        global_batch: int,
        *,
        images_per_class: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
    ) -> None:
        labels = np.asarray(labels)
        super().__init__(len(labels), global_batch, rank=rank, world=world, seed=seed)
        if images_per_class < 1 or global_batch % images_per_class:
            raise ValueError(
                f"loader.images_per_class={images_per_class}: must be at least 1 and divide the "
                f"global batch of {global_batch}"
            )
        self.images_per_class = images_per_class
        self._members = [np.flatnonzero(labels == c) for c in np.unique(labels[labels >= 0])]
        self._unlabelled = np.flatnonzero(labels < 0)
        if not self._members:
            raise ValueError("loader.images_per_class: no image of the source has a label")

    def order(self, epoch: int) -> np.ndarray:
        """The images of an epoch: (length,) int64. O(length log length)."""
        return self.keys(epoch)[:, 1]

    def keys(self, epoch: int) -> np.ndarray:
        """See :meth:`EpochSampler.keys`; an image's n-th time in an epoch has a number of its own,
        n << 32 more.
        """
        size = self.images_per_class
        groups = -(-self.length // size)
        kinds = self._group_kinds(epoch, groups)
        images = np.empty((groups, size), np.int64)
        for kind, members in enumerate([*self._members, self._unlabelled]):
            places = np.flatnonzero(kinds == kind)
            if len(places):
                images[places] = self._draw(
                    members, len(places), stream(self.seed, BALANCE, epoch, kind + 1)
                )
        order = images.reshape(-1)[: self.length]
        return np.stack([epoch + (_times_before(order) << 32), order], 1)

    def _group_kinds(self, epoch: int, groups: int) -> np.ndarray:
        """Which class each group is of, (groups,); the number of classes stands for no label."""
        random, classes = stream(self.seed, BALANCE, epoch), len(self._members)
        without = round(groups * len(self._unlabelled) / self.length)
        rounds = -(-(groups - without) // classes)
        labelled = np.argsort(
            random.random_raw(rounds * classes).reshape(rounds, classes), axis=1, kind="stable"
        )
        kinds = np.full(groups, classes)
        places = np.argsort(random.random_raw(groups), kind="stable")[without:]
        kinds[np.sort(places)] = labelled.reshape(-1)[: groups - without]
        return kinds

    def _draw(self, members: np.ndarray, groups: int, random: np.random.Philox) -> np.ndarray:
        """Images (groups, size) from one permutation of a class after another; a group repeats none
        if they suffice.
        """
        size = self.images_per_class
        per_round = max(len(members) // size * size, min(size, len(members)))
        rounds = -(-groups * size // per_round)
        raw = random.random_raw(rounds * len(members)).reshape(rounds, len(members))
        chosen = members[np.argsort(raw, axis=1, kind="stable")[:, :per_round]]
        return chosen.reshape(-1)[: groups * size].reshape(groups, size)


def _times_before(order: np.ndarray) -> np.ndarray:
    """How often each entry of ``order`` (n,) occurs before it."""
    by_image = np.argsort(order, kind="stable")
    images = order[by_image]
    starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]])
    times = np.empty_like(order)
    times[by_image] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return times


def _validate(length: int, global_batch: int, *, rank: int, world: int, seed: int) -> None:
    if world < 1 or not 0 <= rank < world:
        raise ValueError(f"rank={rank}, world={world}; legal is 0 <= rank < world")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed}; legal is 0 to 2**63 - 1")
    if global_batch < 1 or global_batch % world:
        raise ValueError(
            f"global_batch={global_batch} with {world} processes; legal is a positive multiple "
            "of the number of processes (it counts all processes together)"
        )
    if length < global_batch:
        raise ValueError(
            f"the source has {length} images, fewer than global_batch={global_batch}, so an "
            f"epoch has no whole batch; set schedule.global_batch to at most {length}, or add "
            "images to the source"
        )
