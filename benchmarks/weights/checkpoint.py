"""A file of weights as one object, read once and safely, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

from benchmarks.weights import featup
from heads.upsamplers.base import Upsampler
from pretrain.backbones.timm_backbone import TimmBackbone, architecture
from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine.check import register_all
from pretrain.engine.config import parse
from pretrain.files import atomic_path
from pretrain.state_dicts import prefixed, refuse_non_finite, under
from pretrain.weights.filling import (
    LoadReport,
    fill,
    find_state,
    state_fingerprint,
    weights_fingerprint,
)
from pretrain.weights.layouts import IMAGENET
from pretrain.weights.network import Imported, import_networks, timm_normalisation
from pretrain.weights.recognise import Unrecognised

#: Where our checkpoints keep their networks.
PREFIXES = {"online": "backbone.", "target": "target_backbone."}
#: Where the objectives of our checkpoints keep the feature pyramid that belongs to a network.
_PYRAMIDS = {"online": "levels", "target": "target_levels"}
_UPSAMPLER = "upsampler."


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with its weights.

    Attributes:
        backbone: On the CPU, in train mode.
        report: Which keys of the file went where.
        normalisation: ``mean`` and ``std`` of the images it expects, RGB in [0, 1].
    """

    backbone: TimmBackbone
    report: LoadReport
    normalisation: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds: a checkpoint of ours, or one of others in a layout of
    :mod:`pretrain.weights.layouts`.

    Attributes:
        source: What to call it in tables and errors: its path.
        content: What was saved.
    """

    source: str
    content: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """Reads a file to the CPU.

        Raises:
            FileNotFoundError, ValueError, MemoryError: see
                :func:`pretrain.checkpoint_file.read_checkpoint`.
        """
        return cls(str(path), read_checkpoint(path))

    @property
    def meta(self) -> dict[str, Any]:
        """What the file says about its tensors; empty where it says nothing."""
        meta = self.content.get("meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def state(self) -> dict[str, Tensor]:
        """All tensors of the networks by name, without wrappers' names."""
        return find_state(self.content)

    @property
    def architecture(self) -> dict[str, Any]:
        """Registry dict of the network of a checkpoint of ours."""
        return architecture(self.meta["backbone"])

    @property
    def normalisation(self) -> dict[str, tuple[float, ...]]:
        """What the networks of a checkpoint of ours expect, RGB in [0, 1]: ``mean``, ``std``."""
        return self.meta.get("normalisation", IMAGENET)

    @property
    def licence(self) -> str | None:
        """What the weights may be used for, as the file says; None where it does not."""
        return self.meta.get("licence")

    @property
    def config(self) -> Config:
        """The config that the run was started with.

        Raises:
            ValueError: the file holds none: it is none of ours.
        """
        if "cfg" not in self.meta:
            raise ValueError(
                f"{self.source}: not one of our checkpoints: it does not hold the config that it "
                "was trained with"
            )
        return parse(self.meta["cfg"])

    def model(self) -> nn.Module:
        """Builds the whole model that was trained, with heads and targets, and fills it.

        Raises:
            ValueError: see :attr:`config` and :meth:`fill`.
        """
        register_all()
        model = MODELS.build(self.config.model.to_dict())
        self.fill(model)
        return model

    def fill(self, model: nn.Module) -> None:
        """Copies all weights into the model that they were saved from.

        Raises:
            ValueError: a key is missing, left over or of another shape, or a weight is NaN or
                infinite.
        """
        try:
            model.load_state_dict(self.state)
        except RuntimeError as error:
            raise ValueError(
                f"{self.source} does not fit the model that it describes: {str(error)[:300]}"
            ) from error
        refuse_non_finite(model.state_dict(), self.source)

    def network(
        self,
        which: str = "online",
        *,
        backbone: str | None = None,
        options: Mapping[str, Any] | None = None,
        layout: str = "auto",
    ) -> LoadedNetwork:
        """Builds one network with its weights.

        Args:
            which: ``online`` or ``target``.
            backbone: timm name, for files that do not show their architecture; with a tag, images
                are normalised as timm states it for those weights.
            options: Of the network, on top of what the file or the name gives.
            layout: Name of a layout of others, ``auto`` to recognise it.

        Raises:
            ValueError: no such network in the file, a file that would leave part of it random, an
                unknown layout or architecture.
        """
        options = dict(options or {})
        if "backbone" in self.meta and backbone is None:
            return self._own_network(which, options)
        try:
            imported = self.imported(layout=layout, backbone=backbone, options=options)
        except Unrecognised as error:
            if backbone is None or which == "target":
                raise ValueError(
                    f"{error}; in a spec: {self.source}?layout=NAME, or ?backbone=resnet50 for "
                    "plain files"
                ) from error
            network = TimmBackbone(backbone, **options)
            report = fill(network.model, self.state, source=self.source)
            colours = timm_normalisation(backbone) if "." in backbone else IMAGENET
            return LoadedNetwork(network, report, colours)
        if which not in imported.backbones:
            raise ValueError(
                f"weights={which!r}: {self.source} is not one of our checkpoints: it holds one "
                "network"
            )
        return LoadedNetwork(
            imported.backbones[which], imported.loads[which], imported.normalisation
        )

    def _own_network(self, which: str, options: dict[str, Any]) -> LoadedNetwork:
        network = MODELS.build(self.architecture | options)
        prefix, state = PREFIXES[which], self.state
        if not any(key.startswith(prefix) for key in state):
            raise ValueError(
                f"{self.source} has no {which} weights (keys {prefix}*); it was trained without "
                "that network"
            )
        report = fill(network, state, prefix=prefix, source=self.source)
        return LoadedNetwork(network, report, self.normalisation)

    def imported(
        self,
        *,
        layout: str = "auto",
        backbone: str | None = None,
        options: Mapping[str, Any] | None = None,
        weights: str | None = None,
    ) -> Imported:
        """Builds all networks of a file of others, see
        :func:`pretrain.weights.network.import_networks`.
        """
        return import_networks(
            self.content,
            self.source,
            layout=layout,
            backbone=backbone,
            options=dict(options or {}),
            weights=weights,
        )

    def pyramid(self, which: str = "online") -> dict[str, Tensor]:
        """Returns the feature pyramid that was trained with a network, keys from ``fpn.`` and
        ``head_convs.``; empty where there is none.

        Of several objectives with a pyramid the first counts.

        Args:
            which: ``online`` or ``target``.

        Raises:
            ValueError: a weight is NaN or infinite.
        """
        state = self.state
        pattern = re.compile(rf"objectives\.(\d+)\.(.+\.)?{_PYRAMIDS[which]}\.")
        places = []
        for match in filter(None, map(pattern.match, state)):
            places.append((int(match[1]), match[0]))  # by number: objective 2 is before 10
        if not places:
            return {}
        levels = under(min(places)[1], state)
        refuse_non_finite(levels, self.source)
        return levels

    @property
    def is_featup(self) -> bool:
        """Whether the file is an upsampler's as FeatUp publishes them."""
        return "upsampler" not in self.meta and featup.recognised(self.state)

    def upsampler(self, layout: str = "auto") -> Upsampler:
        """Builds the upsampler of a training of ours, or a published one of FeatUp.

        Args:
            layout: ``featup`` reads it as FeatUp's, ``auto`` only where it is none of ours.

        Returns:
            In eval mode. One of ours knows by ``trained_on`` the config and the fingerprint of its
            backbone, as far as the file tells; FeatUp's has a ``report``.

        Raises:
            ValueError: the file holds no upsampler, or not all of it.
        """
        if layout == "featup" or "upsampler" not in self.meta:
            return featup.stack_of(self.state, self.source)
        register_all()
        upsampler = MODELS.build(dict(self.meta["upsampler"]))
        state = under(_UPSAMPLER, self.state)
        self._require_same(state, upsampler)
        upsampler.load_state_dict(state)
        backbone = under(PREFIXES["online"], self.state)
        upsampler.trained_on = dict(
            backbone=self.meta.get("backbone"),
            fingerprint=state_fingerprint(backbone) if backbone else None,
        )
        return upsampler.eval()

    def _require_same(self, state: Mapping[str, Tensor], upsampler: Upsampler) -> None:
        """Refuses tensors that are not one for one those of the upsampler, by name and shape."""
        own, wrong = upsampler.state_dict(), []
        for key in sorted(state.keys() | own.keys()):
            if key not in state or key not in own or state[key].shape != own[key].shape:
                wrong.append(key)
        if wrong:
            raise ValueError(
                f"{self.source} does not fit the {type(upsampler).__name__} it describes: "
                f"{len(wrong)} keys differ, the first {wrong[:3]}"
            )


def write_backbone(path: Path, backbone: nn.Module, *, spec: str) -> None:
    """Writes a network for ``load_from``, atomically, with its spec and its weights' fingerprint.

    Args:
        path: The file.
        backbone: The network.
        spec: What the user called it.
    """
    meta = dict(spec=spec, fingerprint=weights_fingerprint(backbone))
    state = prefixed(PREFIXES["online"], backbone.state_dict())
    with atomic_path(path) as temporary:
        torch.save(dict(meta=meta, state_dict=state), temporary)
