"""Encodings of a batch, computed when first asked for and shared by all objectives of the step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import Features
from pretrain.structures import Batch


class Encodings:
    """Lazy online and target encodings of one batch.

    Each view goes through the network on its own, so that BatchNorm statistics are per view, as in the papers.

    Args:
        batch: normalised batch.
        online: trained backbone.
        target: its EMA follower, or None if no objective asked for one.
    """

    def __init__(self, batch: Batch, online: nn.Module, target: nn.Module | None) -> None:
        self._batch, self._online, self._target = batch, online, target
        self._cache: dict[tuple[str, str], list[Features]] = {}

    def online(self, group: str, images: Tensor | None = None) -> list[Features]:
        """Returns the online features of every view of a group.

        Args:
            group: name of a view group in the batch.
            images: (B, V, 3, H, W) other pixels to encode in place of the group's own (same geometry); not cached.
        """
        if images is not None:
            return [self._online(view) for view in images.unbind(1)]
        if ("online", group) not in self._cache:
            self._cache["online", group] = [self._online(v) for v in self._batch.views[group].images.unbind(1)]
        return self._cache["online", group]

    def target(self, group: str) -> list[Features]:
        """Returns the target features of every view of a group, without gradient.

        Raises:
            RuntimeError: there is no target network, because no objective declared ``needs_target``.
        """
        if self._target is None:
            raise RuntimeError("no target network: set needs_target = True on the objective that calls encode.target")
        if ("target", group) not in self._cache:
            with torch.no_grad():
                self._cache["target", group] = [self._target(v) for v in self._batch.views[group].images.unbind(1)]
        return self._cache["target", group]

    def encoded(self, group: str) -> list[Features] | None:
        """Returns each view's pooled vector and deepest online map, detached, if some objective asked for this group.

        Finer maps are left out: kept until the next step, they would hold most of the activations' memory.
        """
        features = self._cache.get(("online", group))
        if features is None:
            return None
        return [Features({max(f.pyramid): f.map().detach()}, f.vector.detach()) for f in features]
