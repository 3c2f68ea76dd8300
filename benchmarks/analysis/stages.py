"""What every stage of a network gives: stages of a ResNet, blocks of a transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.sizes import refused_sizes
from pretrain.modes import evaluating


def stage_places(extractor: FeatureExtractor) -> dict[str, int]:
    """Name of a stage, its module in timm -> its place in timm's ``feature_info``; stages without
    any layer, which only repeat the one before, are left out.
    """
    network = extractor.backbone.model
    stages = network.feature_info
    places = {}
    for place, stage in enumerate(stages if isinstance(stages, list) else stages.info):
        module = network.get_submodule(stage["module"])
        if not isinstance(module, nn.Sequential) or len(module):
            places[stage["module"]] = place
    return places


@torch.no_grad()
def stage_outputs(extractor: FeatureExtractor, images: Tensor) -> list[Tensor]:
    """Returns the map (B, C, h, w) of each stage of :func:`stage_places`, on the network's device:
    as the next stage gets it, without a transformer's class token and last norm.

    Args:
        extractor: a network, which is in eval mode meanwhile.
        images: (B, 3, H, W) uint8, or float in [0, 1], un-normalised.

    Raises:
        ValueError: a size that the network refuses; an extractor whose features were chosen by
            settings.
    """
    extractor.require_whole("the analysis of stages")
    normalised = extractor.normalise(images)
    backbone = extractor.backbone
    with evaluating(backbone), refused_sizes(backbone, normalised):
        return backbone.model.forward_intermediates(
            normalised, indices=list(stage_places(extractor).values()), intermediates_only=True
        )
