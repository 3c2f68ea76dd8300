"""LARS with the weight decay inside the gradient, as the authors of the methods here wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm.optim
import torch
from mmengine.registry import OPTIMIZERS
from timm.optim.lars import lars
from torch import Tensor


@OPTIMIZERS.register_module()
class Lars(timm.optim.Lars):
    """timm's LARS, but for the weight decay, which joins the gradient before its norm is taken:

        g ← g + weight_decay·w,    w ← w − lr·m,    m ← momentum·m + trust_coeff·‖w‖/(‖g‖ + eps)·g

    So do the codes of PixPro, SimCLR, BYOL, SupCon (TensorFlow) and VICRegL. timm follows the paper
    on LARS and divides by ‖g‖ + weight_decay·‖w‖ instead, which is larger, since the gradient and
    the weights are not parallel: its steps are shorter wherever the decay counts beside the
    gradient. Both agree without weight decay.

    Where the gradient is 0 (filters behind a norm whose scale starts at 0) the decay alone is the
    gradient: a step takes lr·trust_coeff·w off w, whatever the weight decay.

    Arguments, state and parameter groups are timm's, so a checkpoint that its optimiser wrote goes
    on with this one. A group is adapted if it has ``always_adapt`` or a weight decay. ``p.grad``
    stays as it is; no step waits for the device. One step holds two copies of a group's gradients.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Updates every parameter that has a gradient; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        """Moves the parameters of one group."""
        moved = [p for p in group["params"] if p.grad is not None]
        if not moved:
            return
        gradients = [p.grad for p in moved]
        decay = group["weight_decay"]
        if decay != 0:
            gradients = list(torch._foreach_add(gradients, moved, alpha=decay))
        buffers = []
        if group["momentum"] != 0:
            buffers = [self.state[p].get("momentum_buffer") for p in moved]
        names = (
            "foreach",
            "lr",
            "momentum",
            "dampening",
            "nesterov",
            "trust_coeff",
            "eps",
            "trust_clip",
        )
        options = {name: group[name] for name in names}
        lars(
            moved,
            gradients,
            buffers,
            weight_decay=0.0,
            always_adapt=group["always_adapt"] or decay != 0,
            **options,
        )
        for parameter, buffer in zip(moved, buffers, strict=False):
            self.state[parameter]["momentum_buffer"] = buffer
