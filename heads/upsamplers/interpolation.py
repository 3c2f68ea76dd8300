"""Resizing without looking at the image: the baselines that other upsamplers are compared with."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.upsamplers.base import LinearUpsampler

# Nearest takes the cell that a pixel's centre lies in, at any ratio of sizes.
_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}


@MODELS.register_module()
class Interpolation(LinearUpsampler):
    """Interpolates features between cell centres (align_corners=False); the image is not used.

    Args:
        mode: ``nearest``, ``bilinear`` or ``bicubic`` (Keys, a = −0.75; may overshoot the features'
            range).

    Raises:
        ValueError: another mode.
    """

    kind = "bilinear"

    def __init__(self, mode: str = "bilinear") -> None:
        super().__init__(mode=mode)
        if mode not in _MODES:
            raise ValueError(f"mode={mode!r} must be one of {', '.join(_MODES)}")
        self.mode = _MODES[mode]

    @classmethod
    def kinds(cls) -> dict[str, dict[str, Any]]:
        """Every mode is a kind."""
        return {mode: dict(mode=mode) for mode in _MODES}

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """See :class:`LinearUpsampler`; nothing depends on the image."""
        return ()

    def spread(
        self, filters: tuple[Tensor, ...], maps: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """See :class:`LinearUpsampler`."""
        if tuple(maps.shape[-2:]) == tuple(output_size):
            return maps
        align = None if self.mode == "nearest-exact" else False
        return F.interpolate(maps, size=tuple(output_size), mode=self.mode, align_corners=align)
