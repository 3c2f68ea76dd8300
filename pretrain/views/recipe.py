"""Which views are made of an image: settings, the plan for one image, and its execution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.registry import TRANSFORMS

from pretrain import geometry
from pretrain.structures import Photometric, Views
from pretrain.views.crop import Crop, cut, sample_crop
from pretrain.views.photometric import (
    PhotometricSpec,
    build_spec,
    check_probability,
    check_range,
    sample,
)
from pretrain.views.photometric_cv2 import apply_cv2_planar
from pretrain.views.region import Region, extent, sample_region, warp


@dataclass(kw_only=True)
class ViewSpec(PhotometricSpec):
    """How one view is made: crop, resize, mirror, then the photometrics of
    :class:`PhotometricSpec`.

    Attributes:
        size: of the view in pixels, an int or (h, w).
        scale: (low, high) of the crop's share of the source's area, in (0, 1].
        ratio: (low, high) of the crop's width / height in source pixels.
        flip: probability of mirroring left to right.
        within: name of a group of one view, in whose crop this one's is drawn instead of in the
            whole image; scale and ratio are then relative to that view as it comes out, resized and
            mirrored.
        rotation: degrees in [0, 45]; the crop is turned by an angle from U(−rotation, rotation) and
            trimmed so that nothing from outside the image, or outside the view of ``within``,
            enters (see ``views.region``).
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    within: str | None = None
    rotation: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        size = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
        if len(size) != 2 or not all(
            isinstance(s, int) and not isinstance(s, bool) and s >= 1 for s in size
        ):
            raise ValueError(
                f"size={self.size!r}: must be a number of pixels >= 1 or (height, width)"
            )
        self.size = size
        self.scale = check_range("scale", self.scale, 0.0, 1.0)
        if self.scale[1] == 0:
            raise ValueError(
                f"scale={self.scale!r}: the upper end must be above 0, it is a share of the "
                "image's area"
            )
        self.ratio = check_range("ratio", self.ratio, 1e-3, 1e3)
        check_probability("flip", self.flip)
        if (
            isinstance(self.rotation, bool)
            or not isinstance(self.rotation, (int, float))
            or not 0 <= self.rotation <= 45
        ):
            raise ValueError(f"rotation={self.rotation!r}: must be degrees in [0, 45]")

    @property
    def turned(self) -> bool:
        """Whether the view is a region (nested or rotated) and not an upright crop of the image."""
        return self.within is not None or self.rotation > 0


@dataclass(frozen=True)
class PlannedView:
    """One view's drawn parameters. The photometric fields are 0-d tensors."""

    crop: Crop | Region
    photometric: Photometric


@dataclass(frozen=True)
class Plan:
    """Everything random about one image's views, drawn before the image is decoded.

    Attributes:
        source_size: (H, W) of the full-size source in pixels.
        views: group name -> the planned views in order.
        min_decode_size: (h, w) of the smallest decoded image from which no crop is enlarged more
            than from the full-size one: each crop keeps at least the pixels of its view, or all it
            has.
    """

    source_size: tuple[int, int]
    views: dict[str, tuple[PlannedView, ...]]
    min_decode_size: tuple[int, int]


@TRANSFORMS.register_module()
class ViewRecipe:
    """Makes groups of views from an image.

    Args:
        groups: group name -> its views, each a :class:`ViewSpec` or a dict of its fields.
            ``global`` is the group of the two large views. All views of a group have one size, they
            are stacked.

    Raises:
        TypeError, ValueError: a setting is unknown, missing or illegal; the message starts with the
        group and the view.

    Example:
        >>> views = [dict(size=224, jitter=dict(brightness=0.4)), dict(size=224, grey=0.2)]
        >>> recipe = ViewRecipe({"global": views})
        >>> plan = recipe.plan(375, 500, np.random.default_rng(0))
        >>> views = recipe.render(decode(data, plan.min_decode_size), plan)["global"]
        >>> views.images.shape
        torch.Size([2, 3, 224, 224])
    """

    def __init__(self, groups: Mapping[str, Sequence[ViewSpec | dict]]) -> None:
        if not isinstance(groups, Mapping) or not groups:
            raise TypeError(
                f"groups={groups!r}: must be a dict such as {{'global': [dict(size=224), "
                "dict(size=224)]}"
            )
        self.specs: dict[str, tuple[ViewSpec, ...]] = {
            name: self._build_group(name, views) for name, views in groups.items()
        }
        self._check_parents()

    @staticmethod
    def _build_group(name: str, views: Any) -> tuple[ViewSpec, ...]:
        """Validates one group; errors are prefixed with the place in the config."""
        if not isinstance(views, (list, tuple)) or not views:
            raise TypeError(f"groups[{name!r}]={views!r}: must be a non-empty list of views")
        specs = []
        for position, view in enumerate(views):
            place = f"groups[{name!r}][{position}]"
            try:
                specs.append(build_spec(ViewSpec, view, "view"))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{place}: {error}") from error
        sizes = {spec.size for spec in specs}
        if len(sizes) > 1:
            raise ValueError(
                f"groups[{name!r}]: views of one group are stacked and must have one size, "
                f"found {sorted(sizes)}; make a group for each size"
            )
        return tuple(specs)

    def _check_parents(self) -> None:
        """Raises a ValueError unless every ``within`` names one upright view."""
        parents = [
            name for name, specs in self.specs.items() if len(specs) == 1 and not specs[0].turned
        ]
        for name, specs in self.specs.items():
            for position, spec in enumerate(specs):
                if spec.within is not None and spec.within not in parents:
                    raise ValueError(
                        f"groups[{name!r}][{position}]: within={spec.within!r}: must be a group "
                        "of one view that is neither turned nor nested; here: "
                        f"{', '.join(map(repr, parents)) or 'none'}"
                    )

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups that this recipe makes."""
        return tuple(self.specs)

    def plan(self, height: int, width: int, rng: np.random.Generator) -> Plan:
        """Draws all parameters for one image.

        Args:
            height: of the full-size, upright source in pixels. width: likewise.
            rng: source of randomness; a fixed number of draws is taken per view.

        Raises:
            ValueError: the image has no pixels.
        """
        if height < 1 or width < 1:
            raise ValueError(f"image of {height}×{width} pixels: both must be at least 1")
        source = (height, width)
        views: dict[str, tuple[PlannedView, ...]] = {}
        for nested in (False, True):  # views within others are drawn after these
            for name, specs in self.specs.items():
                if any(spec.within is not None for spec in specs) == nested:
                    views[name] = self._plan_group(specs, source, views, rng)
        need = 0.0
        for name, specs in self.specs.items():
            for spec, view in zip(specs, views[name], strict=True):
                rows, columns = _extent(view.crop, source)
                need = max(need, min(1.0, max(spec.size[0] / rows, spec.size[1] / columns)))
        return Plan(source, views, (math.ceil(height * need), math.ceil(width * need)))

    def _plan_group(
        self,
        specs: tuple[ViewSpec, ...],
        source: tuple[int, int],
        parents: Mapping,
        rng: np.random.Generator,
    ) -> tuple[PlannedView, ...]:
        """Draws the views of one group; ``parents``: planned views that they may lie in."""
        planned = []
        for spec in specs:
            limits = dict(scale=spec.scale, ratio=spec.ratio, flip=spec.flip, rng=rng)
            if not spec.turned:
                crop: Crop | Region = sample_crop(*source, **limits)
            elif spec.within is None:
                crop = Region(
                    torch.from_numpy(sample_region(*source, rotation=spec.rotation, **limits))
                )
            else:
                (parent,) = self.specs[spec.within]
                local = torch.from_numpy(
                    sample_region(*parent.size, rotation=spec.rotation, **limits)
                )
                crop = Region(
                    geometry.compose(_map_of(parents[spec.within][0].crop, source), local)
                )
            planned.append(PlannedView(crop, sample(spec, rng)))
        return tuple(planned)

    def render(
        self, image: np.ndarray, plan: Plan, *, photometrics: bool = False
    ) -> dict[str, Views]:
        """Cuts the planned views out of a decoded image.

        Args:
            image: (H', W', 3) uint8 RGB, the full-size source or a scaled decode of it.
            plan: from :meth:`plan`.
            photometrics: apply the photometrics here, with OpenCV, instead of handing their
                parameters on.

        Returns:
            group name -> views: images (V, 3, h, w) uint8, geometry (V, 2, 3), photometric with
            fields (V,) or None if applied.

        Raises:
            ValueError: ``image`` is not what the plan was drawn for, or no (H, W, 3) uint8 array.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"image of shape {image.shape} and dtype {image.dtype}: must be (H, W, 3) uint8"
            )
        return {
            name: self._render_group(image, plan, name=name, photometrics=photometrics)
            for name in self.specs
        }

    def _render_group(
        self, image: np.ndarray, plan: Plan, *, name: str, photometrics: bool
    ) -> Views:
        """Renders one group, see :meth:`render`."""
        specs, planned = self.specs[name], plan.views[name]
        pixels, maps = [], []
        for spec, view in zip(specs, planned, strict=True):
            if isinstance(view.crop, Region):
                pixels.append(warp(image, view.crop, source=plan.source_size, size=spec.size))
                maps.append(view.crop.map)
            else:
                part, box = cut(image, view.crop, source=plan.source_size, size=spec.size)
                pixels.append(part)
                maps.append(geometry.from_box(torch.tensor(box, dtype=torch.float64)))
        if photometrics:
            for part, view in zip(pixels, planned, strict=True):
                apply_cv2_planar(part.numpy(), view.photometric)
        drawn = None if photometrics else Photometric.stack([v.photometric for v in planned])
        return Views(torch.stack(pixels), torch.stack(maps), drawn)


def _map_of(crop: Crop, source: tuple[int, int]) -> torch.Tensor:
    """Returns the map (2, 3) from an upright crop's unit square to the source's."""
    x1, x2 = crop.left / source[1], (crop.left + crop.width) / source[1]
    y1, y2 = crop.top / source[0], (crop.top + crop.height) / source[0]
    if crop.flip:
        x1, x2 = x2, x1
    return geometry.from_box(torch.tensor([x1, y1, x2, y2], dtype=torch.float64))


def _extent(crop: Crop | Region, source: tuple[int, int]) -> tuple[float, float]:
    """Returns the (height, width) of a crop in pixels of the source."""
    return extent(crop, source) if isinstance(crop, Region) else (crop.height, crop.width)
