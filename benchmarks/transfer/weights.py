"""A pretrained network's weights under the key names of the model that a recipe builds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from benchmarks.extractor import parse_spec
from benchmarks.transfer.parts import Parts
from benchmarks.weights import find_state, read_checkpoint

_SHARED_HEAD = "roi_head.shared_head."  # where C4 detectors keep the last stage of the backbone
_COUNTERS = "num_batches_tracked"


@dataclass
class Placement:
    """Which weights of the model come from pretraining.

    Attributes:
        state: the model's key -> tensor.
        resized: keys of position tables that were resized.
        parts: what a pretrained pyramid fills of neck and heads; None where none was pretrained.
        unused: keys of the backbone's weights that the model has no place for.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    resized: tuple[str, ...] = ()
    parts: Parts | None = None
    unused: tuple[str, ...] = ()

    def add(self, parts: Parts) -> None:
        """Adds pretrained weights of neck and heads."""
        self.state |= parts.state
        self.parts = parts

    def __str__(self) -> str:
        others = len(self.parts.state) if self.parts else 0
        said = [f"{len(self.state) - others} tensors of the backbone come from pretraining"]
        said += [str(self.parts)] if self.parts else []
        said += [f"{len(self.resized)} position tables resized"] if self.resized else []
        said += [f"{len(self.unused)} unused ({', '.join(self.unused[:3])} …)"] if self.unused else []
        return ", ".join(said)


def place(source: dict[str, Tensor], model: nn.Module, *, native: bool, spec: str) -> Placement:
    """Finds the place of every weight of a pretrained backbone in a segmentor or detector.

    Args:
        source: state dict of a ``TimmBackbone``, keys ``model.*``.
        model: as the recipe built it; nothing is changed.
        native: the backbone is the library's own ResNet, whose keys are torchvision's, as timm's are. The last stage
            may then stand in the detector's shared head.
        spec: what to call the source in an error.

    Raises:
        ValueError: a weight of the model's backbone would stay random; names some and the shapes.
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
        elif target.endswith("pos_embed") and value.ndim == 3 and value.shape[-1] == wanted[target].shape[-1]:
            placed.state[target] = _resize(value, model, wanted[target])
            resized.append(target)
    placed.resized, placed.unused = tuple(resized), tuple(unused)
    _refuse_random(placed, wanted, source, spec)
    return placed


def pretrained_levels(spec: str) -> dict[str, Tensor]:
    """Returns the feature pyramid that was pretrained together with a network, keys from ``fpn.`` and ``head_convs.``.

    Empty where the source is no file, or has none; of several objectives with a pyramid the first counts.
    """
    path, _ = parse_spec(spec)
    if not Path(path).is_file():
        return {}
    state = find_state(read_checkpoint(path))
    marked = [key.split(".levels.")[0] for key in state if key.startswith("objectives.") and ".levels." in key]
    if not marked:
        return {}
    prefix = f"{min(marked)}.levels."
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _target(key: str, wanted: dict[str, Tensor], native: bool) -> str | None:
    name = key.removeprefix("model.") if native else key
    candidates = [f"backbone.{name}"] + ([_SHARED_HEAD + name] if native else [])
    return next((candidate for candidate in candidates if candidate in wanted), None)


def _resize(table: Tensor, model: nn.Module, wanted: Tensor) -> Tensor:
    """Resizes a ViT's position table (1, prefix + N, D) to the grid of the model's."""
    network = model.backbone.model
    prefix = 0 if getattr(network, "no_embed_class", False) else network.num_prefix_tokens
    side = round((table.shape[1] - prefix) ** 0.5)
    grid = list(network.patch_embed.grid_size)
    if side * side != table.shape[1] - prefix or prefix + grid[0] * grid[1] != wanted.shape[1]:
        raise ValueError(f"position table of {tuple(table.shape)} does not fit {tuple(wanted.shape)}: no square")
    return resample_abs_pos_embed(table, new_size=grid, old_size=[side, side], num_prefix_tokens=prefix)


def _refuse_random(placed: Placement, wanted: dict[str, Tensor], source: dict[str, Tensor], spec: str) -> None:
    needed = [k for k in wanted if k.startswith(("backbone.", f"{_SHARED_HEAD}layer")) and not k.endswith(_COUNTERS)]
    random = [key for key in needed if key not in placed.state]
    if not random:
        return
    shown = ", ".join(f"{key} {tuple(wanted[key].shape)}" for key in random[:3])
    offered = ", ".join(f"{key} {tuple(value.shape)}" for key, value in list(source.items())[:3])
    raise ValueError(
        f"{spec} does not fill the recipe's backbone: {len(random)} of {len(needed)} tensors would stay random "
        f"({shown}, …); it offers {offered}, …. Take a checkpoint of the recipe's network, or a recipe that takes any "
        "(transfer.backbone='any')"
    )
