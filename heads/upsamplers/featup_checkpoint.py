"""Published FeatUp weights: reading one of their Lightning files into a :class:`JBUStack`, with an
account of each key.

The layout is that of github.com/mhamilton723/FeatUp (MIT): tensors under ``state_dict``;
``upsampler.up1…upN`` for the levels, ``upsampler.fixup_proj.1`` for the mixing of channels,
``model.1.norm`` for the LayerNorm of the variant that has one; parts that only training needs
(downsampler, scale net) stand beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heads.upsamplers.jbu import JBUStack

_PREFIX = "upsampler."
_NORM = "model.1.norm."
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
        parts = (
            f"{len(getattr(self, n))} {n}" for n in ("loaded", "missing", "unexpected", "ignored")
        )
        return f"FeatUp checkpoint: {', '.join(parts)} keys"


def load_featup(path: str | Path) -> JBUStack:
    """Reads a published FeatUp checkpoint; nothing but tensors and plain values of the file is ever
    unpickled.

    Channels, radius, width of the range features, number of levels (each doubles) and the LayerNorm
    follow from the shapes and keys of the file.

    Args:
        path: A file on disk; nothing is downloaded.

    Returns:
        The stack in eval mode, float32, on the CPU; its ``report`` is the :class:`FeatUpReport`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, not a FeatUp checkpoint, or with a missing, unexpected or misshapen key
            under ``upsampler.``: part of the stack would be random.
    """
    state = _read(Path(path))
    stack = JBUStack(**_options(state, path))
    wanted = {_theirs(key): (key, value) for key, value in stack.state_dict().items()}
    ignored = tuple(k for k in state if any(part in k for part in _TRAINING_ONLY))
    present = {k: v for k, v in state.items() if k not in ignored}
    # A scalar may have been saved with one axis.
    fits = [
        k
        for k, v in present.items()
        if k in wanted and v.squeeze().shape == wanted[k][1].squeeze().shape
    ]
    report = FeatUpReport(
        loaded=tuple(fits),
        missing=tuple(k for k in wanted if k not in fits),
        unexpected=tuple(k for k in present if k not in fits),
        ignored=ignored,
    )
    wrong = [f"{name} {key}" for name in ("missing", "unexpected") for key in getattr(report, name)]
    wrong = [entry for entry in wrong if entry.split()[1].startswith((_PREFIX, _NORM))]
    if wrong:
        raise ValueError(
            f"{path} does not fill the stack it seems to hold ({report}): "
            f"{', '.join(wrong[:6])}{', …' if len(wrong) > 6 else ''}; the file is incomplete, "
            "or of another kind of upsampler"
        )
    stack.load_state_dict({wanted[k][0]: present[k].reshape(wanted[k][1].shape) for k in fits})
    stack.report = report
    return stack.eval()


def _theirs(key: str) -> str:
    """The published name of a key of ours."""
    return _NORM + key.removeprefix("norm.") if key.startswith("norm.") else _PREFIX + key


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(
            f"no FeatUp checkpoint {path}; download one yourself from the links of "
            "github.com/mhamilton723/FeatUp"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as tensors and plain values only ({type(error).__name__}: "
            f"{str(error)[:200]}): compare its size and checksum with the source. A complete "
            "file that holds other Python objects can be reduced where you trust it: "
            "torch.save({'state_dict': torch.load(p, weights_only=False)['state_dict']}, q)"
        ) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        found = (
            sorted(map(str, content))[:6] if isinstance(content, dict) else type(content).__name__
        )
        raise ValueError(
            f"{path} has no 'state_dict' (found {found}); a FeatUp checkpoint is a Lightning file"
        )
    return {str(key): value for key, value in state.items() if isinstance(value, Tensor)}


def _options(state: dict[str, Tensor], path: str | Path) -> dict[str, Any]:
    """What the stack must be built with, from shapes."""
    levels = {key.split(".")[1] for key in state if key.startswith(_PREFIX + "up")}
    shapes = {
        name: tuple(state[key].shape) if key in state else None
        for name, key in dict(
            mixing=_PREFIX + "fixup_proj.1.weight",
            taps=_PREFIX + "up1.fixup_proj.3.weight",
            keys=_PREFIX + "up1.range_proj.3.weight",
        ).items()
    }
    if (
        not levels
        or None in shapes.values()
        or levels != {f"up{i}" for i in range(1, len(levels) + 1)}
    ):
        raise ValueError(
            f"{path} holds no FeatUp JBU stack: wanted {_PREFIX}up1…upN.* and "
            f"{_PREFIX}fixup_proj.1.*, found {len(state)} keys such as {sorted(state)[:4]}"
        )
    side = math.isqrt(shapes["taps"][0])
    if side * side != shapes["taps"][0] or side % 2 == 0:
        raise ValueError(
            f"{path}: {shapes['taps'][0]} taps per filter are not the square of an odd number"
        )
    return dict(
        channels=shapes["mixing"][0],
        factor=2 ** len(levels),
        radius=side // 2,
        key_dim=shapes["keys"][0],
        norm=any(key.startswith(_NORM) for key in state),
    )
