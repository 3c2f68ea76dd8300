"""Putting a file's weights into a network, with an account of every key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.state_dicts import prefixed, refuse_non_finite, under, unwrapped

# Where official checkpoints keep the network; tried in this order.
_NESTED = ("state_dict", "model", "model_state", "teacher", "student", "module")
_COUNTERS = "num_batches_tracked"  # never read in eval mode: its absence is no gap


@dataclass(frozen=True)
class LoadReport:
    """Which keys of a checkpoint went where.

    Attributes:
        loaded: Keys of the backbone that were filled.
        missing: Keys of the backbone that the file lacks, or has in another shape; these stay
            random.
        unexpected: Keys of the file that the backbone has no place for (heads, optimiser state).
        prefix: What was cut off the file's keys.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of keys in each group."""
        groups = dict(loaded=self.loaded, missing=self.missing, unexpected=self.unexpected)
        return {name: len(keys) for name, keys in groups.items()}

    def __str__(self) -> str:
        cut = f" (prefix {self.prefix!r} cut off)" if self.prefix else ""
        return (
            f"{len(self.loaded)} keys loaded{cut}, {len(self.missing)} "
            f"missing{_first(self.missing)}, {len(self.unexpected)} "
            f"unexpected{_first(self.unexpected)}"
        )


def find_state(content: dict[str, Any]) -> dict[str, Tensor]:
    """Returns the tensors of the first nested state dict, or those of the dict itself, unwrapped.

    Raises:
        ValueError: see :func:`pretrain.state_dicts.unwrapped`.
    """
    for name in _NESTED:
        if isinstance(content.get(name), dict):
            return find_state(content[name])
    return unwrapped({key: v for key, v in content.items() if isinstance(v, Tensor)})


def fill(
    network: nn.Module, state: dict[str, Tensor], *, prefix: str | None = None, source: str
) -> LoadReport:
    """Copies a state dict into a network.

    Args:
        network: What is filled, in place.
        state: Tensors; keys may stand under a common prefix.
        prefix: That prefix; None looks for the one under which most keys fit.
        source: What to call the state in an error.

    Raises:
        ValueError: any parameter or running statistic would stay random, or is NaN or infinite;
            two prefixes fit equally. Nothing is changed then.
    """
    wanted = network.state_dict()
    if prefix is None:
        prefix = _best_prefix(state, wanted)
    offered = under(prefix, state)
    placed, missing = {}, []
    for key, value in wanted.items():
        if key in offered and offered[key].shape == value.shape:
            placed[key] = offered[key]
        elif not key.endswith(_COUNTERS):
            missing.append(key)
    taken = prefixed(prefix, placed)
    unexpected = tuple(filterfalse(taken.__contains__, state))
    report = LoadReport(tuple(placed), tuple(missing), unexpected, prefix)
    if missing:
        shapes = []
        for key in filter(offered.__contains__, missing):
            shapes.append(f"{key} is {tuple(offered[key].shape)}, not {tuple(wanted[key].shape)}")
        raise ValueError(
            f"{source} does not fill the backbone, parts would stay random: {report}. "
            f"{' '.join(shapes[:2])} Name the architecture the file was made with "
            "(…?backbone=NAME and its options)"
        )
    refuse_non_finite(taken, source)
    network.load_state_dict(placed, strict=False)
    return report


def weights_fingerprint(network: nn.Module) -> str:
    """First 12 hex digits of SHA-256 over all weights and statistics: two networks with one value
    are the same.
    """
    return state_fingerprint(network.state_dict())


def state_fingerprint(state: dict[str, Tensor]) -> str:
    """:func:`weights_fingerprint` of the network that has this state dict."""
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        digest.update(key.encode())
        digest.update(
            value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()[:12]


def _best_prefix(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> str:
    """The prefix under which most keys fit; none if nothing fits anywhere (the error then shows the
    bare keys).
    """
    anchor = next(iter(wanted))
    candidates = {key[: -len(anchor)] for key in state if key.endswith(anchor)} | {""}
    counts = {prefix: len(wanted.keys() & under(prefix, state)) for prefix in candidates}
    most = max(counts.values())
    first, *others = sorted(prefix for prefix, count in counts.items() if count == most)
    for other in others if most else ():
        one, two = under(first, state), under(other, state)
        if any(not torch.equal(one[key], two[key]) for key in wanted if key in one):
            raise ValueError(
                f"the file holds two networks that fit, at {first!r} and at {other!r}: name "
                "its layout (…?layout=NAME), or save only the one to read"
            )
    return first


def _first(keys: tuple[str, ...]) -> str:
    return f" [{', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}]" if keys else ""
