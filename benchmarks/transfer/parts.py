"""Feature pyramids and towers of heads that were pretrained with a backbone, under mmdet's key
names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
        said = (
            f"{len(self.state)} tensors of neck and head come from pretraining, {len(self.new)} "
            "are new"
        )
        return said + (
            f", {len(self.unused)} unused ({', '.join(self.unused[:3])} …)" if self.unused else ""
        )


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
    state = {
        t: levels[s]
        for t, s in places.items()
        if t in wanted and wanted[t].shape == levels[s].shape
    }
    used = {places[target] for target in state}
    fillable = [
        key
        for key in wanted
        if key.startswith(("neck.", *_TOWERS)) and "num_batches_tracked" not in key
    ]
    return Parts(
        state,
        tuple(k for k in fillable if k not in state),
        tuple(k for k in levels if k not in used),
    )


def _neck_places(levels: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Returns {key of the neck: key of the pyramid}, whether or not the neck has it."""
    laterals = {
        key: v.shape[1]
        for key, v in wanted.items()
        if _index(r"neck\.lateral_convs\.(\d+)\.conv", key)
    }
    if len(set(laterals.values())) < len(laterals):
        raise ValueError(
            f"the neck reads several maps of one width ({sorted(laterals.values())}): a "
            "pretrained pyramid cannot be placed; take a recipe whose backbone widens from "
            "stage to stage"
        )
    target_of = {width: key.split(".")[2] for key, width in laterals.items()}
    places = {}
    for key, value in levels.items():
        index = _index(r"fpn\.inner_blocks\.(\d+)\.0", key)
        if index is None or value.shape[1] not in target_of:
            continue
        target = target_of[value.shape[1]]
        for part in ("weight", "bias"):
            places[f"neck.lateral_convs.{target}.conv.{part}"] = (
                f"fpn.inner_blocks.{index}.0.{part}"
            )
            places[f"neck.fpn_convs.{target}.conv.{part}"] = f"fpn.layer_blocks.{index}.0.{part}"
    return places


def _tower_places(levels: Mapping[str, Tensor]) -> dict[str, str]:
    """Returns {key of a tower: key of the head convolutions}; every second module of these is a
    ReLU.
    """
    indices = [
        int(index) for key in levels if (index := _index(r"head_convs\.(\d+)", key)) is not None
    ]
    return {
        f"{tower}{index // 2}.conv.{part}": f"head_convs.{index}.{part}"
        for tower in _TOWERS
        for index in indices
        for part in ("weight", "bias")
    }


def _index(prefix: str, key: str) -> str | None:
    """Returns the number in a weight's key, None for other keys."""
    found = re.fullmatch(prefix + r"\.weight", key)
    return found and found[1]
