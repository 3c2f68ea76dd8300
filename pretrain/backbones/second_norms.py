"""A second set of BatchNorms for images of another distribution, which leaves the network's own set
alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
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
        self._places = [
            name for name, module in network.named_modules() if isinstance(module, _BatchNorm)
        ]
        if self._places and recomputes(network):
            raise ValueError(
                "backbone.checkpoint_activations=True: recomputation would use the wrong BatchNorms"
            )
        self.norms = nn.ModuleList(
            copy.deepcopy(network.get_submodule(name)) for name in self._places
        )
        for norm in self.norms:
            norm.momentum = momentum

    def twins(self, network: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
        """Returns every BatchNorm of the network with its twin."""
        return [
            (network.get_submodule(name), norm)
            for name, norm in zip(self._places, self.norms, strict=True)
        ]

    @contextmanager
    def within(self, network: nn.Module) -> Iterator[None]:
        """Puts the twins in the places of the network's own BatchNorms for the duration of a
        ``with`` block.
        """
        parents = [network.get_submodule(name.rpartition(".")[0]) for name in self._places]
        children = [name.rpartition(".")[2] for name in self._places]
        own = [parent._modules[child] for parent, child in zip(parents, children, strict=True)]
        self._place(parents, children, self.norms)
        try:
            yield
        finally:
            self._place(parents, children, own)

    @staticmethod
    def _place(
        parents: list[nn.Module], children: list[str], norms: list[nn.Module] | nn.ModuleList
    ) -> None:
        for parent, child, norm in zip(parents, children, norms, strict=True):
            parent._modules[child] = norm
