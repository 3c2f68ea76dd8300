"""A pretrained network's weights under the key names of the model that a recipe builds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from torch import Tensor, nn

from benchmarks.transfer.parts import Parts
from pretrain.weights.positions import resized_positions

_SHARED_HEAD = "roi_head.shared_head."  # where C4 detectors keep the last stage of the backbone
_CURE = (
    "Take a checkpoint of the recipe's network, or a recipe that takes any "
    "(transfer.backbone='any')"
)
_COUNTERS = "num_batches_tracked"


@dataclass
class Placement:
    """Which weights of the model come from the network that is transferred.

    Attributes:
        state: the model's key -> tensor.
        resized: keys of position tables that were resized.
        parts: what a pretrained pyramid fills of neck and heads; None where none was pretrained.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    resized: tuple[str, ...] = ()
    parts: Parts | None = None

    def add(self, parts: Parts) -> None:
        """Adds pretrained weights of neck and heads."""
        self.state |= parts.state
        self.parts = parts

    def __str__(self) -> str:
        others = len(self.parts.state) if self.parts else 0
        texts = [f"{len(self.state) - others} tensors of the backbone are filled"]
        if self.parts:
            texts.append(str(self.parts))
        if self.resized:
            texts.append(f"{len(self.resized)} position tables resized")
        return ", ".join(texts)


def place(source: dict[str, Tensor], model: nn.Module, *, native: bool, spec: str) -> Placement:
    """Finds the place of every weight of a pretrained backbone in a segmentor or detector.

    Args:
        source: state dict of a ``TimmBackbone``, keys ``model.*``.
        model: as the recipe built it; nothing is changed.
        native: the backbone is the library's own ResNet, whose keys are torchvision's, as timm's
            are. The last stage may then stand in the detector's shared head.
        spec: what to call the source in an error.

    Raises:
        ValueError: a weight of the model's backbone would stay random, or the source has more
            weights than it; names some and the shapes.
    """
    wanted = model.state_dict()
    placed = Placement()
    resized, unused = [], []
    for key, value in source.items():
        target = _target(key, wanted, native)
        if target is None:
            unused.append(key)
        elif value.shape == wanted[target].shape:
            placed.state[target] = value
        elif (
            target.endswith("pos_embed")
            and (table := resized_positions(value, model.backbone.model)) is not None
        ):
            placed.state[target] = table
            resized.append(target)
    placed.resized = tuple(resized)
    _refuse_random(placed, wanted, source=source, spec=spec)
    if unused:
        raise ValueError(
            f"{spec} has weights that the recipe's backbone has no place for "
            f"({', '.join(unused[:3])}, …): it is another network. {_CURE}"
        )
    return placed


def _target(key: str, wanted: dict[str, Tensor], native: bool) -> str | None:
    name = key.removeprefix("model.") if native else key
    if f"backbone.{name}" in wanted:
        return f"backbone.{name}"
    return _SHARED_HEAD + name if native and _SHARED_HEAD + name in wanted else None


def _refuse_random(
    placed: Placement, wanted: dict[str, Tensor], *, source: dict[str, Tensor], spec: str
) -> None:
    ours = filter(re.compile(rf"(backbone\.|{re.escape(_SHARED_HEAD)}layer)").match, wanted)
    needed = [key for key in ours if not key.endswith(_COUNTERS)]
    random = [key for key in needed if key not in placed.state]
    if not random:
        return
    shown, offered = _shapes(wanted, random), _shapes(source, list(source))
    raise ValueError(
        f"{spec} does not fill the recipe's backbone: {len(random)} of {len(needed)} tensors "
        f"would stay random ({shown}, …); it offers {offered}, …. {_CURE}"
    )


def _shapes(tensors: dict[str, Tensor], keys: list[str]) -> str:
    """The first three of the keys with the shapes of their tensors."""
    return ", ".join(f"{key} {tuple(tensors[key].shape)}" for key in keys[:3])
