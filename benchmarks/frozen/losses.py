"""What trainings of heads on frozen features do with their losses."""

from __future__ import annotations

from torch import Tensor

#: Iterations between two looks at the losses: a look waits for the device.
LOOK = 50


def require_finite_losses(losses: Tensor, lr: float) -> None:
    """Does nothing if all losses (T,) of the iterations so far are finite.

    Args:
        losses: on any device, which is waited for.
        lr: the peak of the learning rate, for the message.

    Raises:
        ValueError: one is not; names the first iteration, counted from 1.
    """
    broken = ~losses.isfinite()
    if broken.any():
        raise ValueError(
            f"iteration {int(broken.nonzero()[0]) + 1}: the loss is not finite; try a smaller lr "
            f"than {lr}, and look for features that are not finite"
        )
