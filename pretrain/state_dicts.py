"""What every reader of weights asks of a state dict: one name per tensor, and numbers in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# What wrappers of training put into keys: DistributedDataParallel, torch.compile, FSDP, recomputed
# activations, Lightning Fabric.
_WRAPPERS = (
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
)


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors under their keys without wrappers' names, wherever in the key they stand.

    ``backbone.module.conv1.weight`` is ``backbone.conv1.weight``.

    Raises:
        ValueError: two keys that are then one; names both.
    """
    originals: dict[str, str] = {}
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        *modules, last = str(key).split(".")
        bare = ".".join([name for name in modules if name not in _WRAPPERS] + [last])
        if bare in result:
            raise ValueError(
                f"{originals[bare]!r} and {key!r} would both be {bare!r} without wrappers' "
                "names: the file holds two networks in one; save only the one to read"
            )
        originals[bare], result[bare] = key, value
    return result


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with a prefix, by what follows it."""
    return {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors with a prefix before their names: undoes :func:`under`."""
    return {prefix + key: value for key, value in state.items()}


def refuse_non_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Refuses weights that are no numbers: every feature of the network would be NaN.

    Args:
        state: Tensors by name.
        source: What to call them.

    Raises:
        ValueError: a tensor holds NaN or infinity; names the first and says how many do.
    """
    broken = []
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            broken.append(key)
    if not broken:
        return
    first = state[broken[0]]
    count = first.numel() - int(torch.isfinite(first).sum())
    others = f", and so do {len(broken) - 1} other tensors" if len(broken) > 1 else ""
    raise ValueError(
        f"{source}: {broken[0]} holds {count} values of {first.numel():,} that are NaN or "
        f"infinite{others}; the training diverged or the file is damaged: take an earlier "
        "checkpoint"
    )
