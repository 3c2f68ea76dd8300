"""Published FeatUp weights: from the tensors of one of their Lightning files to a
:class:`JBUStack`, with an account of each key.

The layout is that of github.com/mhamilton723/FeatUp (MIT): tensors under ``state_dict``;
``upsampler.up1…upN`` for the levels, ``upsampler.fixup_proj.1`` for the mixing of channels,
``model.1.norm`` for the LayerNorm of the variant that has one; parts that only training needs
(downsampler, scale net) stand beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heads.upsamplers.jbu import JBUStack

_PREFIX = "upsampler."
_NORM = "model.1.norm."
#: The weights whose shapes tell the stack's channels, taps per filter and width of range features.
_SHAPING = ("fixup_proj.1.weight", "up1.fixup_proj.3.weight", "up1.range_proj.3.weight")
_TRAINING_ONLY = ("scale_net", "downsampler")


@dataclass(frozen=True)
class FeatUpReport:
    """Which keys of a checkpoint went where.

    Attributes:
        loaded: Keys of the file that were read into the stack.
        missing: Keys that the stack needs and the file lacks; never under ``upsampler.``, which is
            an error.
        unexpected: Keys of the file that nothing here has a place for (a backbone saved along, as a
            rule).
        ignored: Keys of the file that only training needs.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{count} {group}" for group, count in self.counts.items()]
        return f"FeatUp checkpoint: {', '.join(parts)} keys"

    @property
    def counts(self) -> dict[str, int]:
        """Number of keys in each group."""
        return {group: len(keys) for group, keys in vars(self).items()}


def recognised(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a FeatUp stack."""
    return any(key.startswith(f"{_PREFIX}up1.") for key in state)


def stack_of(state: Mapping[str, Tensor], source: str) -> JBUStack:
    """Builds the stack of a published FeatUp checkpoint.

    Channels, radius, width of the range features, number of levels (each doubles) and the LayerNorm
    follow from the shapes and keys of the file.

    Args:
        state: Its tensors by name.
        source: What to call it in errors.

    Returns:
        The stack in eval mode, float32, on the CPU; its ``report`` is the :class:`FeatUpReport`.

    Raises:
        ValueError: not a FeatUp checkpoint, or with a missing, unexpected or misshapen key under
            ``upsampler.``: part of the stack would be random.
    """
    stack = JBUStack(**_options(state, source))
    placed = stack.state_dict()
    own = {_theirs(key): key for key in placed}
    report = _account(state, {theirs: placed[key] for theirs, key in own.items()})
    wrong = [f"missing {key}" for key in report.missing]
    for key in report.unexpected:
        if key.startswith((_PREFIX, _NORM)):
            wrong.append(f"unexpected {key}")
    if wrong:
        raise ValueError(
            f"{source} does not fill the stack it seems to hold ({report}): "
            f"{', '.join(wrong[:6])}{', …' if len(wrong) > 6 else ''}; the file is incomplete, "
            "or of another kind of upsampler"
        )
    for theirs, key in own.items():
        placed[key] = state[theirs].reshape(placed[key].shape)
    stack.load_state_dict(placed)
    stack.report = report
    return stack.eval()


def _account(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> FeatUpReport:
    """Says of every key of the file where it goes; ``wanted`` are the stack's tensors by the
    published names.
    """
    ignored, loaded, unexpected = [], [], []
    for key, value in state.items():
        if any(part in key for part in _TRAINING_ONLY):
            ignored.append(key)
        # Without axes of length 1: a scalar may have been saved with one.
        elif key in wanted and value.squeeze().shape == wanted[key].squeeze().shape:
            loaded.append(key)
        else:
            unexpected.append(key)
    missing = [key for key in wanted if key not in loaded]
    return FeatUpReport(tuple(loaded), tuple(missing), tuple(unexpected), tuple(ignored))


def _theirs(key: str) -> str:
    """The published name of a key of ours."""
    return _NORM + key.removeprefix("norm.") if key.startswith("norm.") else _PREFIX + key


def _options(state: Mapping[str, Tensor], source: str) -> dict[str, Any]:
    """What the stack must be built with, from shapes."""
    levels = {key.split(".")[1] for key in state if key.startswith(_PREFIX + "up")}
    mixing, taps, keys = (state.get(_PREFIX + name) for name in _SHAPING)
    numbered = {f"up{number}" for number in range(1, len(levels) + 1)}
    if mixing is None or taps is None or keys is None or levels != numbered:
        raise ValueError(
            f"{source} holds no FeatUp JBU stack: wanted {_PREFIX}up1…upN.* and "
            f"{_PREFIX}fixup_proj.1.*, found {len(state)} keys such as {sorted(state)[:4]}"
        )
    side = math.isqrt(len(taps))
    if side * side != len(taps) or side % 2 == 0:
        raise ValueError(
            f"{source}: {len(taps)} taps per filter are not the square of an odd number"
        )
    return dict(
        channels=len(mixing),
        factor=2 ** len(levels),
        radius=side // 2,
        key_dim=len(keys),
        norm=any(key.startswith(_NORM) for key in state),
    )
