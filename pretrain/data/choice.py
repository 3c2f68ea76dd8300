"""Choices that a source makes once, as pure functions of its own seed: which images it keeps,
random labels.

They do not depend on the run's seed: every seed of a comparison sees the same images.
"""

from __future__ import annotations

import numpy as np

from pretrain.data.sampler import stream

#: Uses of randomness beside those of the sampler (which counts from 0), see
#: :func:`pretrain.data.sampler.stream`.
CHOICE, LABEL = 16, 17


def check_seed(source: str, seed: int) -> None:
    """Raises ValueError unless ``seed`` is a legal one."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"{source}: seed={seed}; legal is 0 to 2**63 - 1")


def choose(available: int, count: int | None, seed: int, *, source: str, unit: str) -> np.ndarray:
    """Chooses ``count`` of ``available`` items, every subset equally likely, in ascending order;
    None: all of them.

    A larger count with the same seed keeps what a smaller one chose.

    Args:
        source: the source's name. unit: what the items are called; both for messages.

    Raises:
        ValueError: ``count`` is below 1 or more than there are, or the seed is out of range.
    """
    check_seed(source, seed)
    if count is None:
        return np.arange(available)
    if not 1 <= count <= available:
        raise ValueError(
            f"{source}: count={count}; legal are 1 to {available}, the number of {unit} there are"
        )
    raw = stream(seed, CHOICE, 0).random_raw(available)
    return np.sort(np.argsort(raw, kind="stable")[:count])


def random_label(seed: int, index: int, classes: int) -> int:
    """Returns the label in [0, ``classes``) of item ``index``: always and everywhere the same."""
    return (
        int(stream(seed, LABEL, 0, index).random_raw()) % classes
    )  # the bias of the modulus is below classes / 2^64
