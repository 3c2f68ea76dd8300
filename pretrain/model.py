"""The model that the engine trains: a backbone, its target, and a weighted set of objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from pretrain.annotations import build
from pretrain.backbones.second_norms import SecondNorms
from pretrain.encodings import BatchEncodings
from pretrain.engine.model import TrainedModel
from pretrain.masking import Masking
from pretrain.needs import Needs
from pretrain.objectives.parts.base import target_copy
from pretrain.reference import Reference, ReferenceSettings
from pretrain.structures import Batch
from pretrain.terms import is_loss


@MODELS.register_module()
class Pretrainer(TrainedModel):
    """Sums objectives over shared encodings.

    Args:
        backbone: registry dict of the backbone.
        objectives: registry dicts, each with an optional ``weight`` (default 1).
        momentum: ``start`` and ``end`` of the targets' momentum (weight of the old value); it grows
            along a cosine over the run: m = end − (end − start)·(cos(π·progress) + 1)/2 (PixPro,
            BYOL: 0.99 → 1).
        masking: how cells are hidden for the objectives that ask for it, a dict of the fields of
            :class:`pretrain.masking.Masking`; None takes its defaults.
        reference: which frozen network the objectives that ask for one get, a dict of the fields of
            :class:`pretrain.reference.ReferenceSettings`; None takes its defaults.
        group: view group whose features hooks look at; one that the trained network sees.
        data_preprocessor: registry dict of the module that applies photometrics and normalises on
            the device.

    Raises:
        ValueError: no objectives, momentum outside [0, 1], an illegal ``masking`` or ``reference``
            or one that no objective uses, or a group that the trained network does not see.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        objectives: list[dict[str, Any]],
        momentum: dict[str, float] | None = None,
        *,
        masking: dict[str, Any] | None = None,
        reference: dict[str, Any] | None = None,
        group: str = "global",
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type="ViewPreprocessor"))
        if not objectives:
            raise ValueError("objectives=[]: name at least one, for example [dict(type='PixPro')]")
        momentum = {"start": 0.99, "end": 1.0, **(momentum or {})}
        self._momentum_start, self._momentum_end = momentum["start"], momentum["end"]
        if not 0 <= self._momentum_start <= self._momentum_end <= 1:
            raise ValueError(f"momentum={momentum}: must hold 0 <= start <= end <= 1")
        self.backbone = MODELS.build(backbone)
        settings = build(ReferenceSettings, reference or {}, where="reference.")
        frozen = settings.build()
        features = self.backbone.info
        if frozen is not None:
            features = replace(features, reference=frozen.info)
        self.weights = [float(o.get("weight", 1.0)) for o in objectives]
        self.objectives = nn.ModuleList()
        for objective in objectives:
            options = {name: value for name, value in objective.items() if name != "weight"}
            self.objectives.append(MODELS.build({**options, "features": features}))
        needs = [objective.needs for objective in self.objectives]
        self.masking = self._prepare_masks(needs, masking)
        if any(each.target for each in needs):
            self.target_backbone = target_copy(self.backbone)
        self.reference = None
        if any(each.reference for each in needs):
            self.reference = self._prepare_reference(settings, frozen)
        elif reference is not None:
            raise ValueError(f"reference={reference}: no objective asks for it; leave it out")
        wanted = any(each.second_norms for each in needs)
        self.second_norms = SecondNorms(self.backbone) if wanted else None
        self.register_buffer("momentum_step", torch.zeros((), dtype=torch.int64))
        seen = sorted({name for each in needs for name in (*each.online, *each.masked)})
        if group not in seen:
            raise ValueError(
                f"group={group!r}: no objective shows it to the trained network, hooks would "
                f"see none; legal: {', '.join(seen)}"
            )
        self.group = group

    def forward(self, batch: Batch, mode: str = "loss") -> dict[str, Tensor]:
        """Returns weighted loss terms and metrics, keyed ``<Objective>.<term>``, each a scalar.

        Args:
            batch: normalised batch on the model's device.
            mode: only "loss"; evaluation goes through
                ``benchmarks.core.extractor.FeatureExtractor``.
        """
        if mode != "loss":
            raise ValueError(
                f"mode={mode!r}: only 'loss'; use FeatureExtractor to evaluate a backbone"
            )
        encode = BatchEncodings(
            batch,
            self.backbone,
            self.target_backbone,
            reference=self.reference,
            masking=self.masking,
            second_norms=self.second_norms,
            normalisation=self._normalisation(),
            progress=self.progress,
            epoch=self.epoch,
        )
        terms: dict[str, Tensor] = {}
        for index, (objective, weight) in enumerate(
            zip(self.objectives, self.weights, strict=True)
        ):
            for name, value in objective(batch, encode).items():
                value = weight * value if is_loss(name) else value.detach()
                terms[self.term_name(index, name)] = value
        self.last_features = encode.encoded(self.group)
        if self.training:
            with torch.no_grad():
                for objective in self.objectives:
                    objective.update_memory(batch, encode)
        return terms

    def _prepare_masks(
        self, needs: Sequence[Needs], options: dict[str, Any] | None
    ) -> Masking | None:
        """Returns what draws masks, None if nobody asks; the backbone gets its mask token before it
        is copied.
        """
        if any(each.masked for each in needs):
            self.backbone.add_mask_token()
            return build(Masking, options or {}, where="masking.")
        if options is not None:
            raise ValueError(f"masking={options}: no objective hides cells; leave it out")
        return None

    def _prepare_reference(
        self, settings: ReferenceSettings, network: nn.Module | None
    ) -> Reference:
        """Returns the frozen network, None standing for the trained one; one that changes is
        saved.
        """
        reference = Reference(settings, target_copy(self.backbone) if network is None else network)
        if settings.refresh_every is not None:
            if self.target_backbone is None:
                raise ValueError(
                    "reference.refresh_every: no objective has a target network to take its place"
                )
            self.reference_backbone = reference.network
        return reference

    @property
    def remakes_start(self) -> bool:
        """Whether a resumed run needs the weights again that the run began with."""
        return self.reference is not None and self.reference.settings.refresh_every is None

    def begun(self) -> None:
        """Fills the frozen network."""
        if self.reference is not None:
            self.reference.begin(self.backbone)

    def _normalisation(self) -> tuple[Tensor, Tensor] | None:
        """Mean and std of pixels in [0, 1], if the preprocessor knows them."""
        preprocessor = self.data_preprocessor
        return (preprocessor.mean, preprocessor.std) if hasattr(preprocessor, "mean") else None

    def term_name(self, index: int, name: str) -> str:
        """Returns the output's key of a term; an index is added only where two objectives of one
        type share it.
        """
        kinds = [type(o).__name__ for o in self.objectives]
        kind = kinds[index]
        return f"{kind}.{name}" if kinds.count(kind) == 1 else f"{kind}{index}.{name}"

    @property
    def networks(self) -> list[nn.Module]:
        """The backbones; the engine compiles each as a whole, and shards each as one unit."""
        return [self.backbone, *([] if self.target_backbone is None else [self.target_backbone])]

    def describe(self) -> dict[str, Any]:
        """Returns plain values for checkpoints: enough to build the backbone again, and what the
        frozen network is.
        """
        described = {
            "backbone": self.backbone.config,
            "normalisation": self.data_preprocessor.normalisation,
        }
        if self.remakes_start:
            described["reference"] = dict(
                fingerprint=self.reference.fingerprint, licence=self.reference.licence
            )
        return described

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Returns every (online, target) pair of modules of the model."""
        pairs = [] if self.target_backbone is None else [(self.backbone, self.target_backbone)]
        for objective in self.objectives:
            pairs += objective.momentum_pairs()
        return pairs

    def copies(self) -> list[tuple[nn.Module, nn.Module]]:
        """Returns the momentum pairs, each BatchNorm with its twin for adversarial images, and a
        reference that is saved.
        """
        pairs = self.momentum_pairs()
        if self.second_norms is not None:
            pairs += self.second_norms.twins(self.backbone)
        if hasattr(self, "reference_backbone"):
            pairs.append((self.backbone, self.reference_backbone))
        return pairs

    def momentum_at(self, progress: float) -> float:
        """Returns the momentum at ``progress`` in [0, 1] of the run's optimiser steps."""
        span = self._momentum_end - self._momentum_start
        return self._momentum_end - span * (math.cos(math.pi * progress) + 1) / 2

    def remarks(self, steps_per_epoch: int) -> list[str]:
        """How long the targets remember, and which network is the reference."""
        remarks = [] if self.reference is None else [str(self.reference)]
        momentum = self._momentum_start
        if self.target_backbone is None or not 0 < momentum < 1:
            return remarks
        steps = math.log(0.5) / math.log(momentum)
        return [
            *remarks,
            f"targets: momentum {momentum:g} at the start, so half of what they hold is replaced "
            f"in {steps:,.0f} steps, {steps / steps_per_epoch:.2g} epochs",
        ]

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Moves every target towards its online module.

        Only parameters are averaged: each branch keeps its own BatchNorm buffers, as in PixPro's
        code. A backbone's parameters listed in its ``shared_with_target`` (names relative to it)
        are copied instead.

        Args:
            progress: optimiser steps done / steps of the run, in [0, 1].
        """
        pairs = self.momentum_pairs()
        online, targets = [], []
        for module, target in pairs:
            online += module.parameters()
            targets += target.parameters()
        if targets:
            torch._foreach_lerp_(targets, online, 1.0 - self.momentum_at(progress))
        if self.target_backbone is not None:
            for name in getattr(self.backbone, "shared_with_target", ()):
                self.target_backbone.get_parameter(name).copy_(self.backbone.get_parameter(name))
        self.momentum_step += 1
        if hasattr(self, "reference_backbone") and self.reference.due(int(self.momentum_step)):
            self.reference_backbone.load_state_dict(self.target_backbone.state_dict())
