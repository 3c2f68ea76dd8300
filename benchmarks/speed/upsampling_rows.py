"""What the speed page of feature upsampling times: rows of three tables for one case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.speed import upsampling_baselines as baselines
from benchmarks.speed.roofline import Work
from benchmarks.speed.upsampling_work import TAPS, Level, other
from heads.upsamplers import eager
from heads.upsamplers.base import Upsampler
from heads.upsamplers.bilateral import JointBilateral
from heads.upsamplers.guided_filter import GuidedFilter
from heads.upsamplers.interpolation import Interpolation
from heads.upsamplers.jbu import JBULevel, JBUStack
from heads.upsamplers.neighbourhood import NeighbourhoodUpsampler
from heads.upsamplers.operators import adaptive_conv, jbu_filters
from heads.upsamplers.resizing import bands

OURS = "learned stack"
_OPERATORS = (
    "adaptive_conv",
    "adaptive_conv_grad_x",
    "adaptive_conv_grad_w",
    "jbu_filters",
    "jbu_filters_backward",
)


@dataclass(frozen=True)
class Case:
    """One image's features: ``channels``, ``grid`` cells to a side, ``output`` pixels to a side."""

    channels: int
    grid: int
    output: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """Reads ``384:14:224``.

        Raises:
            ValueError: another form, or an output that is not a multiple of the grid.
        """
        try:
            case = cls(*map(int, text.split(":")))
        except (TypeError, ValueError):
            raise ValueError(f"case {text!r}: write channels:grid:output, as 384:14:224") from None
        positive = min(case.channels, case.grid) >= 1
        if not positive or case.output < 2 * case.grid or case.output % case.grid:
            raise ValueError(f"case {text!r}: the output must be a multiple of the grid, 2 or more")
        return case

    def __str__(self) -> str:
        return f"{self.channels} channels, {self.grid}² → {self.output}²"


@dataclass
class Row:
    """One line of a table.

    Attributes:
        name: what it is called.
        run: the forward pass.
        leaves: what the backward pass gives gradients of.
        work: operations and bytes of this implementation, piece by piece.
        least: of the task.
        buffer: bytes of its largest tensor, where that can be too much.
        around: entered before a measurement.
        forward, both: seconds of the repetitions so far, without and with the backward pass.
        shares: least time over measured time of each forward repetition.
        memory: extra bytes at the peak of ``forward`` and ``both``.
    """

    name: str
    run: Callable[[], Tensor]
    leaves: list[Tensor]
    work: list[Work]
    least: list[Work]
    buffer: float = 0.0
    around: Callable[[], AbstractContextManager] = nullcontext
    forward: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)


@contextmanager
def without_compiled(device: torch.device) -> Iterator[None]:
    """The operators as they run without compiled ones."""
    with torch.library._scoped_library("pixelpretext", "IMPL") as patched:
        for name in _OPERATORS:
            patched.impl(name, getattr(eager, name), device.type.upper(), allow_override=True)
        yield


class Rows:
    """Inputs of a case, made once, and the rows of its tables.

    Args:
        case: see :class:`Case`.
        device: where.
        dtype: of the features; the image stays float32.
    """

    def __init__(self, case: Case, device: torch.device, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.case, self.device, self.size = case, device, dtype.itemsize
        self.image = torch.randn(1, 3, case.output, case.output, device=device)
        self.features = self._leaf(torch.randn(1, case.channels, case.grid, case.grid), dtype)
        self.model = JBUStack(case.channels, case.output // case.grid).to(device).eval()
        sides = [case.grid]
        for factor in self.model.factors:
            sides.append(sides[-1] * factor)
        self.levels = []
        for side, factor in zip(sides, self.model.factors, strict=False):
            self.levels.append(Level(case.channels, side, factor, self.size))
        self.last = self.levels[-1]
        self.maps = self._leaf(torch.randn(1, case.channels, self.last.side, self.last.side), dtype)
        self.fallback = partial(without_compiled, device)

    def _leaf(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return tensor.to(self.device, dtype).requires_grad_()

    def whole(self) -> list[Row]:
        """Whole upsamplings."""
        size = (self.case.output,) * 2
        rows = []
        for name, upsampler in self._others().items():
            upsampler = upsampler.to(self.device).eval()
            run = partial(upsampler.upsample, self.image, self.features, size)
            work = other(
                name, self.case.channels, side=self.case.grid, output=size[0], size=self.size
            )
            leaves = [self.features, *upsampler.parameters()]
            rows.append(Row(name, run, leaves, [work], [work]))
        leaves, levels = [self.features, *self.model.parameters()], self.levels
        first, last = levels[0], levels[-1]
        mixing = first.mixing(high=False)
        least = [*map(Level.fused, levels), mixing]
        ours = partial(self.model.upsample, self.image, self.features, size)
        rows.append(Row(OURS, ours, leaves, least, least))
        plain = [*map(Level.fallback, levels), mixing]
        rows.append(Row(f"{OURS}, not compiled", ours, leaves, plain, least, around=self.fallback))
        for name, (level, work, buffer) in self._baselines().items():
            inputs = dict(image=self.image, features=self.features)
            run = partial(baselines.stack, level, self.model, **inputs)
            pieces = [*map(work, levels), last.mixing(high=True)]
            rows.append(Row(f"{OURS}, {name}", run, leaves, pieces, least, buffer))
        return rows

    def last_level(self) -> list[Row]:
        """The last level of the stack, range projection included; ours gets and gives channels-last
        maps.
        """
        level, leaves = self.model.levels[-1], [self.maps, *self.model.levels[-1].parameters()]
        ours_maps = self._channels_last()
        ours_leaves = [ours_maps, *leaves[1:]]
        least, plain = [self.last.fused()], [self.last.fallback()]
        ours = partial(level, ours_maps, self.image)
        rows = [
            Row("level", ours, ours_leaves, least, least),
            Row("level, not compiled", ours, ours_leaves, plain, least, around=self.fallback),
        ]
        for name, (function, work, buffer) in self._baselines().items():
            run = partial(function, level, self.maps, self.image)
            rows.append(Row(f"level, {name}", run, leaves, [work(self.last)], least, buffer))
        return rows

    def _channels_last(self) -> Tensor:
        """The last level's maps as our operators take them."""
        return self.maps.detach().contiguous(memory_format=torch.channels_last).requires_grad_()

    def operators(self) -> list[Row]:
        """Operators alone, at the last level's sizes."""
        return self._spread_rows() + self._filter_rows() + self._convolution_rows()

    def _spread_rows(self) -> list[Row]:
        level, last = self.model.levels[-1], self.last
        x = self._channels_last()
        side, pixels = 2 * level.low_radius + 1, last.factor * last.side
        w = torch.rand(1, pixels, pixels, side, side, device=self.device)
        leaves = [x, w.to(x.dtype).requires_grad_()]
        options = dict(factor=level.factor, padding=level.low_radius)
        run, work = partial(adaptive_conv, *leaves, **options), [last.spread()]
        loop = [Work(work[0].flops, last.fallback_spread())]
        name = "adaptive_conv on the grid"
        return [
            Row(name, run, leaves, work, work),
            Row(f"{name}, not compiled", run, leaves, loop, work, around=self.fallback),
        ]

    def _filter_rows(self) -> list[Row]:
        level, last = self.model.levels[-1], self.last
        with torch.no_grad():
            keys = F.pad(level.keys(self.image), (level.radius,) * 4, mode="reflect")
        keys.requires_grad_()
        run = partial(_filters, level, keys, guidance=self.image, side=last.side)
        work = [last.filters()]
        leaves = [keys, level.range_temp, level.sigma_spatial, *level.fixup_proj.parameters()]
        loop = [Work(work[0].flops, last.fallback_filters())]
        return [
            Row("jbu_filters", run, leaves, work, work),
            Row("jbu_filters, not compiled", run, leaves, loop, work, around=self.fallback),
        ]

    def _convolution_rows(self) -> list[Row]:
        last, margin = self.last, 2 * self.model.levels[-1].radius
        pixels = last.factor * last.side
        x = torch.randn(1, last.channels, pixels + margin, pixels + margin, device=self.device)
        x = x.to(self.maps.dtype).requires_grad_()
        w = torch.rand(1, TAPS, pixels, pixels, device=self.device).to(x.dtype).requires_grad_()
        ways = {
            "operator": ("adaptive_conv", baselines.operator_conv, 0.0),
            "taps": ("tap loop", baselines.tap_conv, 0.0),
            "unfold": ("unfold + einsum", baselines.unfold_conv, self._buffer),
        }
        rows, least = [], [last.convolution("operator")]
        for how, (name, function, buffer) in ways.items():
            name, run = f"{name} on enlarged features", partial(function, x, w)
            rows.append(Row(name, run, [x, w], [last.convolution(how)], least, buffer))
        return rows

    @property
    def _buffer(self) -> float:
        return self.size * TAPS * self.last.channels * self.last.pixels

    def _baselines(self) -> dict[str, tuple[baselines.Level, Callable[[Level], Work], float]]:
        return {
            "two-step": (baselines.two_step_level, Level.two_step, 0.0),
            "tap loop": (baselines.tap_level, Level.tap_loop, 0.0),
            "unfold + einsum": (baselines.unfold_level, Level.unfold, self._buffer),
        }

    @staticmethod
    def _others() -> dict[str, Upsampler]:
        return {
            **{mode: Interpolation(mode) for mode in ("nearest", "bilinear", "bicubic")},
            "guided filter": GuidedFilter(),
            "joint bilateral": JointBilateral(),
            "neighbourhood": NeighbourhoodUpsampler(),
        }


def _filters(level: JBULevel, keys: Tensor, *, guidance: Tensor, side: int) -> Tensor:
    first, second = level.fixup_proj[0], level.fixup_proj[3]
    return jbu_filters(
        keys,
        level.range_temp.exp(),
        level.sigma_spatial,
        radius=level.radius,
        guidance=guidance,
        fixup=(first.weight.flatten(1), first.bias, second.weight.flatten(1), second.bias),
        bands=bands((side, side), guidance, factor=level.factor, radius=level.radius),
    )
