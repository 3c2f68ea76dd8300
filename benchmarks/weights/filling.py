"""Finding a network's weights in what a file holds and putting them in, with an account of every key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.state_dicts import refuse_non_finite, unwrapped

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
    cut = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    loaded = tuple(k for k, v in wanted.items() if k in cut and cut[k].shape == v.shape)
    missing = tuple(k for k in wanted if k not in loaded and not k.endswith(_COUNTERS))
    unexpected = tuple(
        k for k in state if not k.startswith(prefix) or k[len(prefix) :] not in loaded
    )
    report = LoadReport(loaded, missing, unexpected, prefix)
    if missing:
        shapes = [
            f"{k} is {tuple(cut[k].shape)}, not {tuple(wanted[k].shape)}"
            for k in missing
            if k in cut
        ][:2]
        raise ValueError(
            f"{source} does not fill the backbone, parts would stay random: {report}. "
            f"{' '.join(shapes)} Name the architecture the file was made with (…?backbone=NAME "
            "and its options)"
        )
    refuse_non_finite({prefix + k: cut[k] for k in loaded}, source)
    network.load_state_dict({k: cut[k] for k in loaded}, strict=False)
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
    fitting = {prefix: sum(prefix + key in state for key in wanted) for prefix in candidates}
    best = sorted(prefix for prefix, count in fitting.items() if count == max(fitting.values()))
    for other in best[1:] if fitting[best[0]] else ():
        if any(
            not torch.equal(state[best[0] + k], state[other + k])
            for k in wanted
            if best[0] + k in state
        ):
            raise ValueError(
                f"the file holds two networks that fit, at {best[0]!r} and at {other!r}: name "
                "its layout (…?layout=NAME), or save the one to be read alone"
            )
    return best[0]


def _first(keys: tuple[str, ...]) -> str:
    return f" [{', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}]" if keys else ""
