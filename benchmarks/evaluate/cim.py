"""How well a network trained with CIM finds exemplars in images that it never saw, beside answers
without looking.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.weights.checkpoint import Checkpoint
from pretrain.data import ViewDataset
from pretrain.data.sources import ImageFolder
from pretrain.encodings import BatchEncodings
from pretrain.model import Pretrainer
from pretrain.objectives.cim import CIM, map_iou, map_loss, prior_loss
from pretrain.structures import collate


@dataclass(frozen=True)
class Localisation:
    """Means over all maps. Losses are sums over the exemplars of an image, as in training.

    Attributes:
        images: how many. exemplars: per image.
        iou: of predicted and true maps, in [0, 1]. loss: of the network.
        prior: loss of answering everywhere with the mean foreground rate of these maps; its IoU is
            0 below a rate of one half.
        position_iou, position: IoU and loss of one fixed map, the mean of all true ones: what place
            alone tells. Taken from the very maps that it is judged on, so a little too good.
        foreground: mean share of the context that an exemplar covers.
    """

    images: int
    exemplars: int
    iou: float
    loss: float
    prior: float
    position_iou: float
    position: float
    foreground: float


def load(path: str | Path) -> tuple[Pretrainer, Config]:
    """Builds the whole model of one of our checkpoints, with objectives and target, in eval mode.

    Returns:
        The model and the config it was trained with.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no checkpoint of ours, or one without the objective CIM.
    """
    checkpoint = Checkpoint.read(path)
    model = checkpoint.model()
    if _cim(model) is None:
        names = ", ".join(type(objective).__name__ for objective in model.objectives)
        raise ValueError(f"{path}: trained with {names}; this measures CIM")
    return model.eval(), checkpoint.config


def _cim(model: Pretrainer) -> CIM | None:
    """The model's first objective CIM, also one that was trained under attack."""
    inner = (getattr(objective, "objective", objective) for objective in model.objectives)
    return next((objective for objective in inner if isinstance(objective, CIM)), None)


def localise(
    path: str | Path,
    images: str | Path,
    *,
    limit: int = 256,
    seed: int = 0,
    batch: int = 32,
    device: str = "cpu",
) -> Localisation:
    """Shows a checkpoint images under its own recipe, one draw of views per image and no training.

    Args:
        path: checkpoint. images: folder of images, at any depth. limit: how many of them, the first
            by path.
        seed: of the views; equal seeds give equal views. batch: images at a time. device: where the
            network runs.

    Raises:
        ValueError: as :func:`load`, or no image.
    """
    model, cfg = load(path)
    model = model.to(device)
    recipe: Any = TRANSFORMS.build(cfg.views.to_dict())
    dataset = ViewDataset(ImageFolder(images, labels=False), recipe, seed=seed)
    keys = [(0, index) for index in range(min(limit, len(dataset)))]
    objective = _cim(model)
    losses, ious, maps = [], [], []
    with torch.inference_mode():
        for samples in DataLoader(dataset, batch_size=batch, sampler=keys, collate_fn=collate):
            views = model.data_preprocessor(samples)["batch"]
            margin = objective.predict(
                views, BatchEncodings(views, model.backbone, model.target_backbone)
            )
            target = objective.targets(views)
            losses.append(map_loss(margin, target) * len(margin))
            ious.append(map_iou(margin, target))
            maps.append(target.cpu())
    return _summary(torch.stack(losses).sum() / len(keys), torch.cat(ious).mean(), torch.cat(maps))


def _summary(loss: Tensor, iou: Tensor, maps: Tensor) -> Localisation:
    """Adds what can be said without looking; maps (B, K, H, W) bool."""
    rate = maps.float().mean((0, 1))
    entropy = (torch.special.entr(rate) + torch.special.entr(1 - rate)).mean()
    fixed = (rate - 0.5).expand(maps.shape)
    return Localisation(
        images=maps.shape[0],
        exemplars=maps.shape[1],
        iou=float(iou),
        loss=float(loss),
        prior=float(prior_loss(maps)),
        position_iou=float(map_iou(fixed, maps).mean()),
        position=float(maps.shape[1] * entropy),
        foreground=float(maps.float().mean()),
    )
