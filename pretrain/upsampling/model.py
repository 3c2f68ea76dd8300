"""The model that the engine trains when an upsampler is to be learned for a frozen backbone."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.precision import full_precision
from pretrain.data.sampler import JITTER, stream
from pretrain.engine.model import DrawingModel
from pretrain.structures import Batch


@MODELS.register_module()
class UpsamplerTrainer(DrawingModel):
    """An upsampler and its objective behind a frozen backbone.

    The backbone is in eval mode always, also after ``train()``, has no gradient and is no concern
    of the optimiser; its weights are in the checkpoints all the same, which can thus be evaluated
    by themselves. What an objective draws for a whole batch (jitters, scales) depends on the run's
    seed and the step alone: the same for all processes and micro-batches of a step, and after a
    resume.

    Args:
        backbone: registry dict; its weights come from ``load_from``, as
            ``pixelpretext train-upsampler`` writes it.
        upsampler: registry dict; ``channels`` and ``factor``, where its class takes them and they
            are left out, are the width and the stride of the map.
        objective: registry dict of ``MultiViewConsistency`` or ``ScaleRegression``.
        map_stride: which map of the backbone's pyramid; None = the deepest.
        group: view group that is read; the first view of it.
        data_preprocessor: registry dict, with the backbone's own normalisation.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        upsampler: dict[str, Any],
        objective: dict[str, Any],
        *,
        map_stride: int | None = None,
        group: str = "global",
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type="ViewPreprocessor"))
        self.backbone = MODELS.build(backbone).requires_grad_(False).eval()
        self.map_stride = self.backbone.info.pick(map_stride)
        channels = self.backbone.info.channels[self.map_stride]
        self.upsampler = MODELS.build(
            completed(upsampler, channels=channels, factor=self.map_stride)
        )
        self._objective_config = dict(objective)
        self.objective = MODELS.build(dict(objective, channels=channels, stride=self.map_stride))
        self.group = group
        self.start_draws()

    def train(self, mode: bool = True) -> UpsamplerTrainer:
        """Sets the mode of all but the backbone."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, batch: Batch, mode: str = "loss") -> dict[str, Tensor]:
        """Returns the objective's terms, each a scalar: those named "loss" are summed and
        minimised.

        Args:
            batch: normalised batch on the model's device.
            mode: only "loss"; evaluation goes through
                ``benchmarks.core.extractor.FeatureExtractor``.
        """
        if mode != "loss":
            raise ValueError(
                f"mode={mode!r}: only 'loss'; use FeatureExtractor to evaluate an upsampler"
            )
        seed, step = self.draws.tolist()
        generator = torch.Generator().manual_seed(int(stream(seed, JITTER, step).random_raw()))
        image = batch.views[self.group].images[:, 0]
        return self.objective(image, self.encode, self.upsampler, generator)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The frozen backbone's map (B, C, h, w), at least float32, of normalised images (B, 3, H,
        W).
        """
        return full_precision(self.backbone(images).map(self.map_stride))

    @property
    def objectives(self) -> list[nn.Module]:
        """The objective, where the engine looks for what reads the views."""
        return [self.objective]

    def describe(self) -> dict[str, Any]:
        """Returns what a checkpoint says of the model, as plain values: enough to rebuild it."""
        return {
            "backbone": self.backbone.config,
            "normalisation": self.data_preprocessor.normalisation,
            "map_stride": self.map_stride,
            "upsampler": self.upsampler.config,
            "objective": self._objective_config,
        }


def completed(config: dict[str, Any], **known: Any) -> dict[str, Any]:
    """Returns a registry dict with those of the ``known`` arguments that its class takes and it
    does not give.
    """
    cls = MODELS.get(config["type"])
    taken = inspect.signature(cls).parameters if cls is not None else ()
    return {name: value for name, value in known.items() if name in taken} | config
