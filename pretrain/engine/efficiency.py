"""How much of a training step is the network itself: bare backbone passes, timed alone.

Step efficiency = (time of the bare passes that the objectives need) / (time of the whole step). The
bare passes are one forward and backward per online view and per view with cells hidden, and one
forward without gradient per view of the target and of a reference, each alone, on the batch of the
step. What is missing to 1 is what heads, losses, photometrics, optimiser, targets and the program
around them cost.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pretrain.engine.model import TrainedModel
from pretrain.random_state import undisturbed_random
from pretrain.structures import Batch


def seconds(
    action: Callable[[], object],
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Returns the seconds of ``action`` by ``clock``; on CUDA until the last kernel's end."""
    synchronise(device)
    start = clock()
    action()
    synchronise(device)
    return clock() - start


def synchronise(device: torch.device) -> None:
    """Waits until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class BarePasses:
    """The backbone passes of one step, on copies: buffers and gradients of the model stay as they
    are.

    Args:
        model: not wrapped and not sharded.
        batch: normalised, on the model's device, as its preprocessor returns it.
        dtype: of the autocast the step runs under; None = no autocast.

    Memory: a second copy of the backbones and the activations of one view.
    """

    def __init__(self, model: TrainedModel, batch: Batch, dtype: torch.dtype | None = None) -> None:
        self.device = next(model.parameters()).device
        self._dtype = dtype
        self._online = _copy(model.backbone)
        self._target = None if model.target_backbone is None else _copy(model.target_backbone)
        self._passes: dict[str, Callable[[], None]] = {}
        self._reference = getattr(model, "reference", None)
        kinds = ("online", "masked", "target", "reference")
        groups: dict[str, set[str]] = {kind: set() for kind in kinds}
        for objective in model.objectives:
            needs = objective.needs
            groups["online"].update(needs.online, batch.views.keys() & needs.may_read)
            groups["masked"].update(needs.masked)
            groups["target"].update(needs.target)
            groups["reference"].update(needs.reference)
        passes = dict(target=self._target_pass, reference=self._reference_pass)
        for kind, names in groups.items():
            pass_of = passes.get(kind, self._trained_pass)
            for group in sorted(names):
                for index, view in enumerate(batch.views[group].images.unbind(1)):
                    self._passes[f"{kind} {group}[{index}]"] = pass_of(view)

    def _cast(self) -> torch.autocast | nullcontext:
        return (
            nullcontext() if self._dtype is None else torch.autocast(self.device.type, self._dtype)
        )

    def _trained_pass(self, images: Tensor) -> Callable[[], None]:
        """Forward and backward from the deepest map, with a gradient made beforehand."""
        with undisturbed_random(self.device), torch.no_grad(), self._cast():
            gradient = torch.rand_like(self._online(images).map())

        def run() -> None:
            with self._cast():
                features = self._online(images).map()
            features.backward(gradient)

        return run

    def _target_pass(self, images: Tensor) -> Callable[[], None]:
        def run() -> None:
            with torch.no_grad(), self._cast():
                self._target(images)

        return run

    def _reference_pass(self, images: Tensor) -> Callable[[], None]:
        def run() -> None:
            with self._cast():
                self._reference.encode(images)

        return run

    def measure(self, clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
        """Runs every pass once; returns {``online <group>[<view>]``, ``masked …`` or ``target …``:
        seconds by ``clock``}.
        """
        result = {}
        with undisturbed_random(self.device):
            for name, run in self._passes.items():
                self._online.zero_grad(
                    set_to_none=True
                )  # as in training, gradients are allocated in the pass
                result[name] = seconds(run, self.device, clock)
        self._online.zero_grad(set_to_none=True)
        return result


def _copy(module: nn.Module) -> nn.Module:
    """A copy that is compiled if the original is."""
    twin = copy.deepcopy(module)
    if getattr(module, "_compiled_call_impl", None) is not None:
        twin.compile()
    return twin
