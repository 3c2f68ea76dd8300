"""Feature pyramids and towers of heads that were pretrained with a backbone, under mmdet's key
names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from torch import Tensor

_TOWERS = ("bbox_head.cls_convs.", "bbox_head.reg_convs.")


@dataclass(frozen=True)
class Parts:
    """What of a pretrained pyramid has a place in a detector.

    Attributes:
        state: the detector's key -> tensor.
        new: keys of its neck and of its dense head's towers that stay as initialised.
        unused: keys of the pretrained pyramid without a place, such as biases where the neck
            normalises instead.
    """

    state: dict[str, Tensor]
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = (
            f"{len(self.state)} tensors of neck and head come from pretraining, {len(self.new)} "
            "are new"
        )
        if self.unused:
            text += f", {len(self.unused)} unused ({', '.join(self.unused[:3])} …)"
        return text


def pretrained_parts(levels: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Parts:
    """Finds the places of a pretrained pyramid and of its head convolutions in a detector.

    A level of the pyramid goes where the neck reads a map of as many channels: levels pretrained on
    strides 8, 16, 32 fill the last three of a neck that begins at stride 4. The shared head
    convolutions fill both towers of a dense head, classes and boxes, in order (our reading of
    "pretraining the head": the paper does not say which it means).

    Args:
        levels: of the checkpoint: ``fpn.inner_blocks.i.0.*`` and ``fpn.layer_blocks.i.0.*`` of
            torchvision's FPN, ``head_convs.2k.*`` of 3 × 3 convolutions with a ReLU behind each.
        wanted: state dict of the detector: mmdet's ``FPN`` as ``neck``, perhaps a dense
            ``bbox_head`` with towers.

    Raises:
        ValueError: the neck reads several maps of one width, so that the places cannot be told
            apart.
    """
    places = _neck_places(levels, wanted) | _tower_places(levels)
    state, used = {}, set()
    for target, key in places.items():
        if target in wanted and wanted[target].shape == levels[key].shape:
            state[target] = levels[key]
            used.add(key)
    new = []
    for key in wanted:
        fillable = key.startswith(("neck.", *_TOWERS)) and "num_batches_tracked" not in key
        if fillable and key not in state:
            new.append(key)
    return Parts(state, tuple(new), tuple(key for key in levels if key not in used))


def _neck_places(levels: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Returns {key of the neck: key of the pyramid}, whether or not the neck has it."""
    target_of: dict[int, str] = {}
    widths = []
    for key, value in wanted.items():
        index = _index(r"neck\.lateral_convs\.(\d+)\.conv", key)
        if index is not None:
            widths.append(value.shape[1])
            target_of[value.shape[1]] = index
    if len(target_of) < len(widths):
        raise ValueError(
            f"the neck reads several maps of one width ({sorted(widths)}): a pretrained pyramid "
            "cannot be placed; take a recipe whose backbone widens from stage to stage"
        )
    places = {}
    for key, value in levels.items():
        index = _index(r"fpn\.inner_blocks\.(\d+)\.0", key)
        if index is None or value.shape[1] not in target_of:
            continue
        target = target_of[value.shape[1]]
        for part in ("weight", "bias"):
            inner = f"fpn.inner_blocks.{index}.0.{part}"
            places[f"neck.lateral_convs.{target}.conv.{part}"] = inner
            places[f"neck.fpn_convs.{target}.conv.{part}"] = f"fpn.layer_blocks.{index}.0.{part}"
    return places


def _tower_places(levels: Mapping[str, Tensor]) -> dict[str, str]:
    """Returns {key of a tower: key of the head convolutions}; every second module of these is a
    ReLU.
    """
    places = {}
    for key in levels:
        index = _index(r"head_convs\.(\d+)", key)
        if index is None:
            continue
        for tower, part in product(_TOWERS, ("weight", "bias")):
            places[f"{tower}{int(index) // 2}.conv.{part}"] = f"head_convs.{index}.{part}"
    return places


def _index(prefix: str, key: str) -> str | None:
    """Returns the number in a weight's key, None for other keys."""
    match = re.fullmatch(prefix + r"\.weight", key)
    return match and match[1]
