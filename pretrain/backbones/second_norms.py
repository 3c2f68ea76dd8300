"""A second set of BatchNorms for images of another distribution, which leaves the network's own set
alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

MOMENTUM = 0.01  # weight of the newest batch in the second set's running statistics; CLAE's code


def recomputes(network: nn.Module) -> bool:
    """Tells whether a timm network recomputes activations in the backward pass, in the state it has
    by then.
    """
    return any(getattr(module, "grad_checkpointing", False) for module in network.modules())


class SecondNorms(nn.Module):
    """Twins of all BatchNorms of a network, those in shortcuts included; a network without any has
    none.

    The twins start as copies and are trained by the passes that :meth:`within` sends through them.
    They are no part of the network, so its checkpoints, evaluations and EMA followers know the
    clean set only.

    Args:
        network: whose BatchNorms are doubled; neither changed nor kept.
        momentum: of the twins' running statistics, in torch's sense.

    Raises:
        ValueError: the network has BatchNorms and recomputes activations in the backward pass,
            where its own set is back in place.
    """

    def __init__(self, network: nn.Module, momentum: float = MOMENTUM) -> None:
        super().__init__()
        self._places = []
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                self._places.append(name)
        if self._places and recomputes(network):
            raise ValueError(
                "backbone.checkpoint_activations=True: recomputation would use the wrong BatchNorms"
            )
        self.norms = nn.ModuleList()
        for name in self._places:
            norm = copy.deepcopy(network.get_submodule(name))
            norm.momentum = momentum
            self.norms.append(norm)

    def twins(self, network: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
        """Returns every BatchNorm of the network with its twin."""
        return list(zip(map(network.get_submodule, self._places), self.norms, strict=True))

    @contextmanager
    def within(self, network: nn.Module) -> Iterator[None]:
        """Puts the twins in the places of the network's own BatchNorms for the duration of a
        ``with`` block.
        """
        own = list(map(network.get_submodule, self._places))
        self._place(network, self.norms)
        try:
            yield
        finally:
            self._place(network, own)

    def _place(self, network: nn.Module, norms: Iterable[nn.Module]) -> None:
        """Puts norms in the places of the network's BatchNorms."""
        for name, norm in zip(self._places, norms, strict=True):
            parent, _, child = name.rpartition(".")
            network.get_submodule(parent)._modules[child] = norm
