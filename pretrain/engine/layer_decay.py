"""Learning rates that fall from the head to the stem, as fine-tuning of transformers uses them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from timm.models import group_parameters
from torch import nn

from pretrain.engine.settings import ConfigError


def learning_rate_scales(model: nn.Module, layer_decay: float) -> dict[int, float]:
    """Returns id(parameter) → factor of its learning rate, for every parameter inside a timm
    network of the model.

    timm's own numbering of layers (``group_matcher``; a ViT: 0 class token, positions and patch
    embedding, block b is b + 1, the last norm goes with the last block): layer l of a network whose
    classifier would be layer L gets ``layer_decay ** (L − l)``. What is outside the network, such
    as a new head, is layer L and has the factor 1.

    Raises:
        ConfigError: ``layer_decay`` outside (0, 1], or no timm network with numbered layers in the
            model.
    """
    if not 0 < layer_decay <= 1:
        raise ConfigError(
            f"optimizer.layer_decay={layer_decay!r}: must be within (0, 1], factor per layer "
            "from the top"
        )
    networks = [module for module in model.modules() if hasattr(module, "group_matcher")]
    if not networks:
        raise ConfigError(
            f"optimizer.layer_decay={layer_decay}: the model holds no timm network that numbers "
            "its layers"
        )
    scales: dict[int, float] = {}
    for network in networks:
        parameters = dict(network.named_parameters())
        classifier = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or "head"
        above = f"{classifier if isinstance(classifier, str) else classifier[0]}.weight"
        named = [*parameters.items(), (above, None)]
        # Stands in for the network with a classifier, which ours were built without.
        whole = SimpleNamespace(named_parameters=lambda named=named: iter(named))
        layers = group_parameters(whole, network.group_matcher(coarse=False), reverse=True)
        for name, parameter in parameters.items():
            # A network within another keeps the outer one's numbers.
            scales.setdefault(id(parameter), layer_decay ** (layers[above] - layers[name]))
        for owner in model.modules():
            # What stands for a hidden patch is trained as the embedding of a visible one.
            if getattr(owner, "model", None) is network and hasattr(owner, "mask_token"):
                scales[id(owner.mask_token)] = layer_decay ** layers[above]
    return scales


def split_groups(groups: list[dict[str, Any]], scales: dict[int, float]) -> list[dict[str, Any]]:
    """Splits parameter groups by learning rate: each part has one ``lr_scale``, smallest first."""
    parts = []
    for group in groups:
        by_scale: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_scale.setdefault(scales.get(id(parameter), 1.0), []).append(parameter)
        parts += [dict(group, params=by_scale[scale], lr_scale=scale) for scale in sorted(by_scale)]
    return parts
