"""Two processes with half of the images each equal one with all: objectives that hold cells to a
frozen network, or that compare images with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.geometry import identity
from pretrain.objectives.distillation import Distillation
from pretrain.objectives.gram import Gram
from pretrain.objectives.koleo import KoLeo
from pretrain.objectives.lejepa import LeJEPA
from pretrain.objectives.parts.base import Objective
from pretrain.reference import resized
from pretrain.structures import Batch, Views
from tests.pretrain.conftest import make_wave

OBJECTIVES: dict[type[Objective], dict[str, Any]] = {
    Distillation: dict(momentum=0.5),
    Gram: dict(cells=3),
    KoLeo: dict(group=2),
    LeJEPA: dict(dim=4, directions=8, cells=3),
}


class Given:
    """Encodings that are given: maps (B, 4, 2, 2) of two views, and a frozen network's of 4 × 4."""

    def __init__(self, images: slice) -> None:
        self.own, self.frozen = [], []
        for phase in (0, 1):
            self.own.append(make_wave(phase, 4, 4, 2, 2)[images].requires_grad_())
            self.frozen.append(1 + make_wave(phase + 0.5, 4, 5, 4, 4)[images])

    def online(self, group: str) -> list[Features]:
        return [Features({8: view}, view.mean((2, 3))) for view in self.own]

    def reference(self, group: str, *, grid: tuple[int, int], resize: str) -> list[Features]:
        views = []
        for view in self.frozen:
            views.append(Features({8: resized(view, grid, resize)}, view.mean((2, 3))))
        return views


def two_steps(kind: type[Objective], images: slice) -> dict[str, Tensor]:
    """Loss and gradients of the second of two steps, and what the objective keeps."""
    torch.manual_seed(0)
    features = FeatureInfo({8: 4}, 4, FeatureInfo({8: 5}, 5))
    objective = kind(features, **OBJECTIVES[kind])
    if kind is LeJEPA:  # whose BatchNorm the engine makes one of all processes
        objective.projector = nn.Conv2d(4, 4, 1)
    objective.double()
    encode = Given(images)
    pixels = torch.zeros(len(encode.own[0]), 2, 3, 8, 8)
    views = Views(pixels, identity().expand(len(pixels), 2, 2, 3))
    batch = Batch({"global": views}, None, torch.arange(len(pixels)))
    for _ in range(2):
        objective.zero_grad()
        for view in encode.own:
            view.grad = None
        torch.manual_seed(1)
        loss = objective(batch, encode)["loss"]
        loss.backward()
        objective.update_memory(batch, encode)
    result = {"loss": loss.detach()}
    for key, buffer in objective.named_buffers():
        result[f"buffer {key}"] = buffer.double()
    for key, parameter in objective.named_parameters():
        result[f"gradient {key}"] = parameter.grad
    for index, view in enumerate(encode.own):
        result[f"images {index}"] = view.grad
    return result


def of_rank(rank: int) -> dict[str, dict[str, Tensor]]:
    """What a process has after averaging, as data-parallel training does; of its own images, their
    part of the gradient.
    """
    results = {}
    for kind in OBJECTIVES:
        results[kind.__name__] = two_steps(kind, slice(2 * rank, 2 * rank + 2))
        for key, value in results[kind.__name__].items():
            if key == "loss" or key.startswith("gradient"):
                torch.distributed.all_reduce(value)
            if not key.startswith("buffer"):
                value /= 2
    return results


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    ranks = in_two_processes(of_rank)
    for kind in OBJECTIVES:
        name = kind.__name__
        for key, value in two_steps(kind, slice(0, 4)).items():
            shared = ranks[0][name][key], ranks[1][name][key]
            if key.startswith("images"):
                shared = (torch.cat(shared),)
            for own in shared:
                torch.testing.assert_close(own, value, rtol=1e-6, atol=1e-9, msg=f"{name} {key}")
