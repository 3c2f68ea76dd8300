"""Buffers that a program reads at every step, kept where reading them waits for no device."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class HostBuffers(nn.Module):
    """A module some of whose buffers stay on the CPU wherever the module goes.

    Numbers that decide which way a step takes (a seed, a counter) would otherwise make the CPU wait
    for the device each time they are read. They are in checkpoints like all others. Under FSDP,
    which moves buffers by itself, they follow the module, and reading them waits.

    Class attributes:
        on_host: names of these buffers.
    """

    on_host: tuple[str, ...] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HostBuffers:
        """Applies ``fn`` to everything else."""
        kept = {name: self._buffers[name] for name in self.on_host if name in self._buffers}
        super()._apply(fn, recurse)
        self._buffers.update(kept)
        return self
