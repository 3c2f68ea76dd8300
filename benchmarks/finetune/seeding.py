"""Python's and NumPy's global generators, set for a moment: timm's augmentations draw from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

#: Use of randomness beside those of ``pretrain.data``, see :func:`pretrain.data.sampler.stream`.
MIX = 32


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Seeds both generators with ``number`` (64 bits) and puts their states back after."""
    python, numpy_state = random.getstate(), np.random.get_state()
    random.seed(number)
    np.random.seed(number % 2**32)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
