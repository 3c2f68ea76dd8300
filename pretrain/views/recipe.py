"""Which views are made of an image: settings, the plan for one image, and its execution."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np
import torch
from mmengine.registry import TRANSFORMS

from pretrain import geometry
from pretrain.structures import Photometric, Views
from pretrain.views.crop import Crop, cut, sample_crop
from pretrain.views.overlapping import Overlap, draw_overlapping
from pretrain.views.photometric import (
    PhotometricSpec,
    build_spec,
    check_probability,
    check_range,
    none,
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
        overlap: what the crop must share with views drawn before it, an :class:`Overlap` or a dict
            of its fields; with an upright view only.
        same_as: (group, index) of a view whose crop and mirroring this one repeats, without
            photometrics and without a draw of its own, cut from the source at its own ``size``: a
            clean view for a teacher. All other settings stay at their defaults.
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    within: str | None = None
    rotation: float = 0.0
    overlap: Overlap | dict | None = None
    same_as: tuple[str, int] | None = None

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
        if self.overlap is not None:
            self.overlap = build_spec(Overlap, self.overlap, "overlap")
            if self.turned:
                raise ValueError("overlap: not of a view that is turned or within another")
        if self.same_as is not None:
            self.same_as = tuple(self.same_as)
            self._require_nothing_else()

    def _require_nothing_else(self) -> None:
        """Raises a ValueError if a twin has settings of its own besides its size."""
        for field in fields(self):
            if field.name not in ("size", "same_as") and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"{field.name}={getattr(self, field.name)!r}: a view with same_as="
                    f"{self.same_as} repeats that one; it has a size alone"
                )

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
        self._stages = self._order()

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
        parents = []
        for name, specs in self.specs.items():
            if len(specs) == 1 and not specs[0].turned and specs[0].same_as is None:
                parents.append(name)
        for name, specs in self.specs.items():
            for position, spec in enumerate(specs):
                if spec.within is not None and spec.within not in parents:
                    raise ValueError(
                        f"groups[{name!r}][{position}]: within={spec.within!r}: must be a group "
                        "of one view that is neither turned nor nested; here: "
                        f"{', '.join(map(repr, parents)) or 'none'}"
                    )

    def _order(self) -> tuple[tuple[str, int], ...]:
        """Returns (group, index) of every view in the order of their draws: by group, first those
        that depend on no other group, then those that overlap, lie within or repeat others.

        Raises:
            ValueError: a view that depends on one that is not there, or that is drawn later.
        """
        stages: list[list[tuple[str, int]]] = [[], [], [], []]
        for name, specs in self.specs.items():
            for index, spec in enumerate(specs):
                stages[self._stage(name, spec)].append((name, index))
        order = tuple(chain.from_iterable(stages))
        for place, (name, index) in enumerate(order):
            spec = self.specs[name][index]
            if spec.same_as is None and spec.overlap is None:
                continue
            earlier = order[:place]
            known = [view for view in earlier if self.specs[view[0]][view[1]].same_as is None]
            if spec.same_as is not None and spec.same_as not in known:
                raise ValueError(
                    f"groups[{name!r}][{index}]: same_as={spec.same_as}: must be a view that is no "
                    f"repetition itself; here: {', '.join(map(str, known))}"
                )
            if spec.overlap is not None:
                self._check_partners(name, index, known)
        return order

    def _stage(self, name: str, spec: ViewSpec) -> int:
        if spec.same_as is not None:
            return 3
        if any(other.within is not None for other in self.specs[name]):
            return 2
        return int(spec.overlap is not None and spec.overlap.group != name)

    def _check_partners(self, name: str, index: int, known: Sequence[tuple[str, int]]) -> None:
        """Raises a ValueError unless the views that a view is to overlap are upright and known."""
        overlap = self.specs[name][index].overlap
        partners = self._partners(overlap, known)
        first_of_own = overlap.group == name and index == 0
        turned = [view for view in partners if self.specs[view[0]][view[1]].turned]
        if turned or not (partners or first_of_own):
            raise ValueError(
                f"groups[{name!r}][{index}]: {overlap}: must name upright views that do not depend "
                "on this group"
            )

    @staticmethod
    def _partners(overlap: Overlap, known: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those of the views drawn so far that a view is to overlap."""
        partners = []
        for name, index in known:
            if name == overlap.group and overlap.view in (None, index):
                partners.append((name, index))
        return partners

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
        planned: dict[tuple[str, int], PlannedView] = {}
        for place in self._stages:
            planned[place] = self._plan_view(place, source, planned, rng)
        views = {}
        for name, specs in self.specs.items():
            views[name] = tuple(planned[name, index] for index in range(len(specs)))
        need = 0.0
        for name, specs in self.specs.items():
            for spec, view in zip(specs, views[name], strict=True):
                rows, columns = _extent(view.crop, source)
                need = max(need, min(1.0, max(spec.size[0] / rows, spec.size[1] / columns)))
        return Plan(source, views, (math.ceil(height * need), math.ceil(width * need)))

    def _plan_view(
        self,
        place: tuple[str, int],
        source: tuple[int, int],
        planned: Mapping[tuple[str, int], PlannedView],
        rng: np.random.Generator,
    ) -> PlannedView:
        """Draws one view; ``planned``: those that it may depend on."""
        spec = self.specs[place[0]][place[1]]
        if spec.same_as is not None:
            return PlannedView(planned[spec.same_as].crop, none())
        limits = dict(scale=spec.scale, ratio=spec.ratio, flip=spec.flip, rng=rng)
        if spec.overlap is not None:
            crop = self._overlapping(spec.overlap, source, planned, limits)
        elif not spec.turned:
            crop: Crop | Region = sample_crop(*source, **limits)
        elif spec.within is None:
            crop = Region(
                torch.from_numpy(sample_region(*source, rotation=spec.rotation, **limits))
            )
        else:
            (parent,) = self.specs[spec.within]
            local = torch.from_numpy(sample_region(*parent.size, rotation=spec.rotation, **limits))
            outer = _map_of(planned[spec.within, 0].crop, source)
            crop = Region(geometry.compose(outer, local))
        return PlannedView(crop, sample(spec, rng))

    def _overlapping(
        self,
        overlap: Overlap,
        source: tuple[int, int],
        planned: Mapping[tuple[str, int], PlannedView],
        limits: dict[str, Any],
    ) -> Crop:
        """Draws a crop that shares a region with views drawn before."""
        draw = functools.partial(sample_crop, *source, **limits)
        partners = [planned[view].crop for view in self._partners(overlap, planned)]
        return draw_overlapping(overlap, partners, source=source, draw=draw)

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
