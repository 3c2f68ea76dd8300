"""What an export starts from, what a format makes of it, and how the two are compared."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from pretrain.backbones.timm_backbone import timm_options
from pretrain.files import atomic_write
from pretrain.state_dicts import refuse_non_finite

FORMAT_VERSION = 1  # of the JSON beside an export
# What features may differ by in float32 and float64, times their largest value if > 1.
_SINGLE, _DOUBLE = 1e-5, 1e-9
_COUNTER = "num_batches_tracked"
# Of the random image, for networks that take any: not square, so that swapped axes show.
_SIZE = (64, 96)

Outputs = Callable[[nn.Module, Tensor], Sequence[Tensor]]


class NoCounterpart(ValueError):
    """A network that the other library has no architecture for; the message says why."""


@dataclass(frozen=True)
class Difference:
    """Largest absolute difference of features between the source and what was loaded from the file.

    Attributes:
        single: in float32; what is left when both are right is rounding.
        double: in float64, where rounding is gone and wrong constants (an epsilon, a pooling) show;
            None where the other side computes in float32 only.
        scale: largest absolute feature.
        maps: how many tensors were compared.
    """

    single: float
    double: float | None
    scale: float
    maps: int

    def require(self, what: str, *, single: float = _SINGLE) -> None:
        """Raises a ValueError if the difference is more than rounding: ``single`` in float32, 1e-9
        in float64.
        """
        scale = max(1.0, self.scale)
        if not self.single <= single * scale or (
            self.double is not None and not self.double <= _DOUBLE * scale
        ):
            raise ValueError(
                f"{what}: features differ after loading, {self}; at most {single * scale:.1e} "
                "is rounding. Nothing was written"
            )

    def __str__(self) -> str:
        exact = "" if self.double is None else f", {self.double:.1e} in float64"
        return (
            f"max |difference| {self.single:.1e} over {self.maps} feature tensors (largest "
            f"{self.scale:.3g}){exact}"
        )


@dataclass
class Export:
    """What one format makes of a network.

    Attributes:
        suffix: of the output; empty for a folder.
        write: writes the file (or fills the folder) at the path it gets.
        check: loads that path by the other library's own call and returns the difference, or says
            why it cannot.
        line: the line of code that loads it there; ``{file}`` stands for the quoted path.
        keys: tensors in the output.
        renamed: how many of them have another name than in timm.
        changed: keys whose values were cut, joined, filled up or resized.
        left_out: timm's keys that the output does not have.
        notes: what else one must know, a sentence each; may hold ``{file}`` and ``{name of another
            file}``.
        others: further files of the same export: what is added to the output's name -> how it is
            written.
        tolerance: of features in float32.
    """

    suffix: str
    write: Callable[[Path], None]
    check: Callable[[Path], Difference | str]
    line: str
    keys: int
    renamed: int = 0
    changed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: Sequence[str] = ()
    others: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    tolerance: float = _SINGLE


class Network:
    """A network to export: timm's module with its weights, in eval mode on the CPU, and where it
    comes from.

    Args:
        extractor: as ``FeatureExtractor.load`` gives it; not changed.

    Attributes:
        backbone: the ``TimmBackbone``.
        model: timm's module inside.
        name: timm's name.
        options: what ``timm.create_model`` needs besides the name to build the same architecture.
        state: timm's state dict, contiguous tensors.
        mean, std: RGB in [0, 1].
        pyramid: weights of the pyramid, torchvision's key names; empty for none.
        images: (1, 3, H, W) random normalised images, the same for everybody, of a size that the
            network takes.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor = extractor
        self.pyramid = {}
        for key, value in extractor.pyramid.items():
            if key.startswith("fpn."):
                self.pyramid[key.removeprefix("fpn.")] = value
        # Channels-last and contiguous convolutions round differently: every comparison is between
        # contiguous ones.
        self.backbone = (
            copy.deepcopy(extractor.backbone).cpu().to(memory_format=torch.contiguous_format).eval()
        )
        self.model: nn.Module = self.backbone.model
        self.name: str = self.backbone.config["name"]
        self.options = timm_options(self.backbone.config)
        if "output_stride" in self.options:  # last in the lines of code that are shown
            self.options["output_stride"] = self.options.pop("output_stride")
        if getattr(self.model, "dynamic_img_size", False):
            self.options["dynamic_img_size"] = True
        self.state = {
            key: value.detach().contiguous() for key, value in self.model.state_dict().items()
        }
        refuse_non_finite(self.state | self.pyramid, extractor.spec)
        self.mean, self.std = extractor.mean, extractor.std
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(1, 3, *self.image_size, generator=generator)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of :attr:`images`: a ViT's own, so that no position table is resized."""
        own = getattr(getattr(self.model, "patch_embed", None), "img_size", None)
        return _SIZE if own is None else tuple(own)

    @property
    def weights(self) -> dict[str, Tensor]:
        """:attr:`state` without BatchNorm's counters of batches, which nothing reads after
        training.
        """
        return {key: value for key, value in self.state.items() if not key.endswith(_COUNTER)}

    @property
    def output_stride(self) -> int:
        """Of a ResNet: 32, or less where it dilates."""
        return self.options.get("output_stride", 32)

    def undilated(self) -> Network:
        """The same weights in the network without dilation, for libraries that cannot dilate it."""
        other = copy.copy(self)
        other.options = {
            key: value for key, value in self.options.items() if key != "output_stride"
        }
        other.model = timm.create_model(self.name, num_classes=0, **other.options).eval()
        other.model.load_state_dict(self.state)
        return other

    def code(self, *first: str, **options: Any) -> str:
        """Arguments of a call, as they are typed: ``'resnet50', output_stride=8``."""
        return ", ".join([*first, *(f"{key}={value!r}" for key, value in options.items())])

    def compare(
        self, theirs: nn.Module, outputs: Outputs, own: Outputs | None = None
    ) -> Difference:
        """Compares features of this network with those of another module on :attr:`images`.

        Args:
            theirs: another library's module; put into eval mode, and into float64 after.
            outputs: (module, images) -> its features.
            own: the same for this network's timm module; None: ``outputs``.
        """
        theirs.eval()
        own = own or outputs
        with torch.no_grad():
            single, scale, maps = largest_difference(
                own(self.model, self.images), outputs(theirs, self.images)
            )
            model, images = copy.deepcopy(self.model).double(), self.images.double()
            double, *_ = largest_difference(own(model, images), outputs(theirs.double(), images))
        return Difference(single, double, scale, maps)

    def provenance(self, to: str) -> dict[str, Any]:
        """Where the weights come from and how images are normalised, as plain values."""
        return dict(
            format=to,
            format_version=FORMAT_VERSION,
            source=self.extractor.spec,
            weights=self.extractor.weights,
            fingerprint=self.extractor.fingerprint,
            backbone=self.backbone.config,
            normalisation=dict(mean=list(self.mean), std=list(self.std), channels="RGB in [0, 1]"),
        )


def largest_difference(
    ours: Sequence[Tensor], theirs: Sequence[Tensor]
) -> tuple[float, float, int]:
    """Compares two lists of features: (largest absolute difference, largest absolute feature,
    number of tensors).

    Raises:
        ValueError: unequal numbers or shapes; features of ours that are NaN or infinite.
    """
    before, after = shapes(ours), shapes(theirs)
    if before != after:
        raise ValueError(
            f"features have the shapes {after} after loading, {before} before. Nothing was written"
        )
    scale = largest([float(a.abs().max()) for a in ours])
    if not math.isfinite(scale):
        raise ValueError(
            "the network's own features of random images are NaN or infinite: its weights are "
            "too large to compute with. Nothing was written"
        )
    gaps = [float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)]
    return largest(gaps), scale, len(gaps)


def shapes(features: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """The shape of every tensor."""
    return [tuple(feature.shape) for feature in features]


def largest(values: Sequence[float]) -> float:
    """The largest of one or more numbers, NaN where one of them is: Python's ``max`` drops that by
    its place.
    """
    return float("nan") if any(map(math.isnan, values)) else max(values)


def timm_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """All stages' maps and the pooled vector of a timm network."""
    last, maps = model.forward_intermediates(images)
    return [*maps, model.forward_head(last, pre_logits=True)]


def in_bytes(colour: Sequence[float]) -> list[float]:
    """A mean or deviation of colours in [0, 1] as libraries want it that read 0 to 255."""
    return [round(255 * value, 4) for value in colour]


def save_state(state: Mapping[str, Tensor]) -> Callable[[Path], None]:
    """Returns what writes a state dict with ``torch.save``: nothing but tensors, so every safe
    loader takes it.
    """
    return lambda path: torch.save({key: value.clone() for key, value in state.items()}, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file atomically."""
    atomic_write(path, json.dumps(content, indent=2, default=list) + "\n")
