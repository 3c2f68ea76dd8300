"""What happens to the colours of a view: typed settings, and the draw of one view's parameters.

The draw is made once and executed by either ``photometric_torch`` (batched, any device) or
``photometric_cv2`` (one image, CPU workers). The steps apply in the papers' order: jitter (its four
factors in random order) → greyscale → blur → solarise. Definitions are torchvision's, so published
strengths carry over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pretrain.annotations import build
from pretrain.structures import Photometric

# Grey value of an RGB pixel, ITU-R 601 rounded as torchvision and PIL do; the sum is 0.9999.
GREY_WEIGHTS = (0.2989, 0.587, 0.114)

# Indices in ``Photometric.order``.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

Strength = float | tuple[float, float]
T = TypeVar("T")


def check_probability(name: str, value: float) -> None:
    """Raises ValueError unless ``value`` is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r}: must be a probability, a number in [0, 1]")


def check_range(
    name: str, value: tuple[float, float], low: float, high: float
) -> tuple[float, float]:
    """Returns ``value`` as a pair of floats with low ≤ value[0] ≤ value[1] ≤ high.

    Raises:
        ValueError: it is none; the message names the field, the value and the legal range.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else ()
    if (
        len(pair) != 2
        or not all(isinstance(v, (int, float)) for v in pair)
        or not low <= pair[0] <= pair[1] <= high
    ):
        raise ValueError(
            f"{name}={value!r}: must be (low, high) with {low:g} <= low <= high <= {high:g}"
        )
    return (float(pair[0]), float(pair[1]))


def _factor_range(name: str, strength: Strength) -> tuple[float, float]:
    """A strength s means the factors [max(0, 1 - s), 1 + s]; a pair is taken as it is."""
    if isinstance(strength, (tuple, list)):
        return check_range(name, strength, 0.0, math.inf)
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or strength < 0:
        raise ValueError(
            f"{name}={strength!r}: must be a strength >= 0 or a pair of factors (low, high)"
        )
    return (max(0.0, 1.0 - strength), 1.0 + strength)


@dataclass
class Jitter:
    """Colour jitter: four factors in random order, all or none of them.

    Attributes:
        brightness: strength s ≥ 0, factor drawn from U(max(0, 1 − s), 1 + s); or the pair of
            factors itself.
        contrast: the same, blends with the image's mean grey.
        saturation: the same, blends with each pixel's grey.
        hue: h in [0, 0.5], shift drawn from U(−h, h) in turns of the colour circle; or the pair
            itself.
        p: probability that a view is jittered.
    """

    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Strength = 0.0
    p: float = 0.8

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            setattr(self, name, _factor_range(f"jitter.{name}", getattr(self, name)))
        if isinstance(self.hue, (tuple, list)):
            self.hue = check_range("jitter.hue", self.hue, -0.5, 0.5)
        elif (
            isinstance(self.hue, bool)
            or not isinstance(self.hue, (int, float))
            or not 0 <= self.hue <= 0.5
        ):
            raise ValueError(
                f"jitter.hue={self.hue!r}: must be a shift in [0, 0.5] turns or a pair in "
                "[-0.5, 0.5]"
            )
        else:
            self.hue = (-float(self.hue), float(self.hue))
        check_probability("jitter.p", self.p)


@dataclass
class Blur:
    """Gaussian blur with reflected borders.

    Attributes:
        p: probability.
        sigma: (low, high) of the uniformly drawn standard deviation, in pixels of the view (0.1 to
            2 at 224 px).
    """

    p: float
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        check_probability("blur.p", self.p)
        self.sigma = check_range("blur.sigma", self.sigma, 0.01, 64.0)


@dataclass
class Solarise:
    """Inverts the values at or above a threshold.

    Attributes:
        p: probability.
        threshold: in [0, 1], image in [0, 1]. The papers' 128 of 255 is ``128 / 255``.
    """

    p: float
    threshold: float = 128 / 255

    def __post_init__(self) -> None:
        check_probability("solarise.p", self.p)
        if not isinstance(self.threshold, (int, float)) or not 0 <= self.threshold <= 1:
            raise ValueError(
                f"solarise.threshold={self.threshold!r}: must be in [0, 1] (128 of 255 is 128 / "
                "255)"
            )


def build_spec(cls: type[T], value: Any, name: str) -> T:
    """Returns ``value`` as an instance of the dataclass ``cls``; mappings (config dicts) become its
    fields.

    Raises:
        ValueError: see :func:`pretrain.annotations.build`.
    """
    return value if isinstance(value, cls) else build(cls, value, where=f"{name}.")


@dataclass(kw_only=True)
class PhotometricSpec:
    """How the colours of one view are drawn; every step is off unless it is named.

    Attributes:
        jitter: colour jitter, a :class:`Jitter` or a dict of its fields.
        grey: probability of greyscale (three equal channels).
        blur: a :class:`Blur` or a dict of its fields.
        solarise: a :class:`Solarise` or a dict of its fields.
    """

    jitter: Jitter | dict | None = None
    grey: float = 0.0
    blur: Blur | dict | None = None
    solarise: Solarise | dict | None = None

    def __post_init__(self) -> None:
        for name, cls in (("jitter", Jitter), ("blur", Blur), ("solarise", Solarise)):
            if getattr(self, name) is not None:
                setattr(self, name, build_spec(cls, getattr(self, name), name))
        check_probability("grey", self.grey)


def none(shape: tuple[int, ...] = ()) -> Photometric:
    """Returns parameters that leave images as they are, fields of leading ``shape``."""
    return Photometric(
        brightness=torch.ones(shape),
        contrast=torch.ones(shape),
        saturation=torch.ones(shape),
        hue=torch.zeros(shape),
        order=torch.arange(4).expand(*shape, 4).clone(),
        grey=torch.zeros(shape, dtype=torch.bool),
        blur_sigma=torch.zeros(shape),
        solarise=torch.full(shape, 2.0),
    )


def sample(spec: PhotometricSpec, rng: np.random.Generator) -> Photometric:
    """Draws the parameters of one view (0-d fields).

    Always takes 13 uniforms from ``rng``, whatever the settings and outcomes: changing the strength
    or probability of one step leaves every other draw as it was, which keeps ablations paired.
    """
    gate_jitter, *factors, gate_grey, gate_blur, where_blur, gate_solarise = rng.random(9)
    order = np.argsort(rng.random(4))
    brightness, contrast, saturation, hue = 1.0, 1.0, 1.0, 0.0
    if spec.jitter is not None and gate_jitter < spec.jitter.p:
        ranges = (
            spec.jitter.brightness,
            spec.jitter.contrast,
            spec.jitter.saturation,
            spec.jitter.hue,
        )
        brightness, contrast, saturation, hue = (
            low + (high - low) * u for (low, high), u in zip(ranges, factors, strict=True)
        )
    sigma = 0.0
    if spec.blur is not None and gate_blur < spec.blur.p:
        low, high = spec.blur.sigma
        sigma = low + (high - low) * where_blur
    solarised = spec.solarise is not None and gate_solarise < spec.solarise.p
    # One allocation for the six floats: tensors of one element cost a microsecond each to make.
    values = torch.tensor(
        [
            brightness,
            contrast,
            saturation,
            hue,
            sigma,
            spec.solarise.threshold if solarised else 2.0,
        ],
        dtype=torch.float32,
    ).unbind(0)
    return Photometric(
        *values[:4],
        order=torch.from_numpy(order),
        grey=torch.tensor(bool(gate_grey < spec.grey)),
        blur_sigma=values[4],
        solarise=values[5],
    )


def blur_radius(sigma: Tensor) -> Tensor:
    """Returns the radius of the blur kernel in pixels, ⌈3σ⌉ and at least 1, (...) int64.

    Beyond 3σ lies 0.27 % of the weight: leaving it out (and renormalising) changes no 8-bit value
    by more than a level. The papers' fixed 23 × 23 kernel spends 5.5σ and more on weights that
    round to nothing.

    Args:
        sigma: (...) pixels.
    """
    # The tolerance makes ⌈3σ⌉ the same whether σ was stored as float32 or float64.
    return (3.0 * sigma.double() - 1e-4).ceil().clamp_min(1).long()


def blur_kernel(sigma: Tensor, radius: int) -> Tensor:
    """Returns Gaussians sampled at −radius … radius and normalised, (..., 2·radius + 1) float64.

    Args:
        sigma: (...) pixels, above 0.
    """
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma.double().unsqueeze(-1)) ** 2)
    return weights / weights.sum(-1, keepdim=True)
