"""The model that the engine trains when a network is fine-tuned for classification."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from timm.data import Mixup
from timm.data.mixup import mixup_target
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.finetune import shuffle  # noqa: F401 — configs name BlockShuffle
from benchmarks.finetune.head import PooledHead
from benchmarks.finetune.seeding import MIX, seeded
from pretrain.data.sampler import stream
from pretrain.engine.model import DrawingModel
from pretrain.needs import Needs
from pretrain.structures import Batch


@MODELS.register_module()
class Finetuner(DrawingModel):
    """Backbone and head, with random erasing, mixup and cutmix in front and soft cross-entropy
    behind.

    Parameters are named as in :class:`benchmarks.finetune.classifier.Classifier`, which reads the
    checkpoints. What is drawn for a batch depends on the run's seed, the step and the batch's first
    image only (but the noise of erased places and drop path, which come from torch's generators):
    processes and micro-batches differ, a resume does not.

    Args:
        backbone: registry dict; its weights come from ``load_from``, as ``pixelpretext finetune``
            writes it.
        classes: names in the order of the labels.
        pooling: ``mean`` or ``network``, see :class:`benchmarks.finetune.head.PooledHead`.
        size: side in pixels at which the network is tested. crop_fraction: see ``Classifier``. Both
            are what checkpoints and measurements during the training are told.
        inputs: registry dict of what changes normalised images (B, 3, H, W) before the network
            sees them, in training and in tests alike, such as
            :class:`benchmarks.finetune.shuffle.BlockShuffle`; it is built with ``size``, holds no
            weights, and draws by its ``seed``, which is the run's. None leaves images as they are.
        drop_path: share of residual branches left out at the deepest block; 0 = none.
        smoothing: share of the target spread evenly over all classes.
        mixup: α of its Beta distribution; 0 = none. cutmix: likewise. With both, each batch gets
            one of them by lot.
        erase: probability that a rectangle of an image (2 to 33 % of it) becomes noise.
        data_preprocessor: registry dict, with the backbone's own normalisation.

    Raises:
        ValueError: an illegal value, fewer than two classes, or a network that knows no drop path.
    """

    needs = Needs(views=1, labels=True)

    def __init__(
        self,
        backbone: dict[str, Any],
        classes: list[str],
        *,
        pooling: str = "mean",
        size: int = 224,
        crop_fraction: float = 0.95,
        drop_path: float = 0.0,
        smoothing: float = 0.1,
        mixup: float = 0.8,
        cutmix: float = 1.0,
        erase: float = 0.25,
        inputs: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type="ViewPreprocessor"))
        _check(drop_path=drop_path, smoothing=smoothing, erase=erase, mixup=mixup, cutmix=cutmix)
        if size < 1 or not 0 < crop_fraction <= 1:
            raise ValueError(
                f"size={size}, crop_fraction={crop_fraction}: legal are pixels >= 1 and a share "
                "in (0, 1]"
            )
        self._backbone_config = dict(backbone)
        self.backbone = MODELS.build(
            dict(backbone) | (dict(drop_path_rate=drop_path) if drop_path else {})
        )
        self.head = PooledHead(self.backbone, len(classes), pooling)
        self.inputs = MODELS.build(dict(size=size) | inputs) if inputs else nn.Identity()
        self.size, self.crop_fraction = size, crop_fraction
        self.num_classes, self.smoothing, self.erase = len(classes), smoothing, erase
        self._meta = dict(
            classes=list(classes), pooling=pooling, size=size, crop_fraction=crop_fraction
        )
        self._meta |= dict(inputs=dict(inputs)) if inputs else {}
        self.mix = None
        if mixup or cutmix:
            self.mix = Mixup(mixup, cutmix, label_smoothing=smoothing, num_classes=len(classes))
        self.start_draws()

    def forward(self, batch: Batch, mode: str = "loss") -> dict[str, Tensor]:
        """Returns ``loss``, mean over the batch of −Σ target · log softmax, and ``top1``, the share
        of images whose largest score is at the largest target.

        Args:
            batch: normalised batch on the model's device, with labels (B,) in [0, C).
            mode: only "loss"; evaluation goes through
                ``benchmarks.finetune.classifier.Classifier``.
        """
        if mode != "loss":
            raise ValueError(
                f"mode={mode!r}: only 'loss'; use Classifier to evaluate a fine-tuned network"
            )
        images, targets = self.augmented(batch)
        logits = self.scores(images)
        right = (logits.detach().argmax(1) == targets.argmax(1)).float().mean()
        return {"loss": F.cross_entropy(logits, targets), "top1": right}

    def scores(self, images: Tensor) -> Tensor:
        """Returns logits (B, C) float32 of normalised images (B, 3, H, W) float."""
        return self.head(self.backbone(self.inputs(images)))

    @torch.no_grad()
    def augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns erased and mixed images (B, 3, H, W) and their soft targets (B, C) float32."""
        images = batch.views["global"].images[:, 0].clone()
        seed, step = self.draws.tolist()
        with seeded(int(stream(seed, MIX, step, int(batch.ids[0])).random_raw())):
            if self.erase:
                images = RandomErasing(self.erase, mode="pixel", device=images.device)(images)
            if self.mix is None:
                return images, mixup_target(
                    batch.labels, self.num_classes, smoothing=self.smoothing
                )
            return self.mix(images, batch.labels)

    @property
    def objectives(self) -> list[nn.Module]:
        """Itself: it says which views and labels it reads."""
        return [self]

    def describe(self) -> dict[str, Any]:
        """Returns what a checkpoint tells of the model, as plain values: enough to build the
        classifier again.
        """
        return {
            "backbone": self._backbone_config,
            "normalisation": self.data_preprocessor.normalisation,
            "classifier": self._meta,
        }


def _check(*, mixup: float, cutmix: float, **shares: float) -> None:
    """Raises ValueError unless ``shares`` lie in [0, 1) and the two α are not negative."""
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value!r}: must be in [0, 1)")
    for name, value in (("mixup", mixup), ("cutmix", cutmix)):
        if value < 0:
            raise ValueError(f"{name}={value!r}: must be 0 (off) or above")
