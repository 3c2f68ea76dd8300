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
from pretrain.views.photometric import PhotometricSpec, build_spec, check_probability, check_range, sample
from pretrain.views.photometric_cv2 import apply_cv2_planar


@dataclass(kw_only=True)
class ViewSpec(PhotometricSpec):
    """How one view is made: crop, resize, mirror, then the photometrics of :class:`PhotometricSpec`.

    Attributes:
        size: of the view in pixels, an int or (h, w).
        scale: (low, high) of the crop's share of the source's area, in (0, 1].
        ratio: (low, high) of the crop's width / height in source pixels.
        flip: probability of mirroring left to right.
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        size = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
        if len(size) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 1 for s in size):
            raise ValueError(f"size={self.size!r}: must be a number of pixels >= 1 or (height, width)")
        self.size = size
        self.scale = check_range("scale", self.scale, 0.0, 1.0)
        if self.scale[1] == 0:
            raise ValueError(f"scale={self.scale!r}: the upper end must be above 0, it is a share of the image's area")
        self.ratio = check_range("ratio", self.ratio, 1e-3, 1e3)
        check_probability("flip", self.flip)


@dataclass(frozen=True)
class PlannedView:
    """One view's drawn parameters. The photometric fields are 0-d tensors."""

    crop: Crop
    photometric: Photometric


@dataclass(frozen=True)
class Plan:
    """Everything random about one image's views, drawn before the image is decoded.

    Attributes:
        source_size: (H, W) of the full-size source in pixels.
        views: group name -> the planned views in order.
        min_decode_size: (h, w) of the smallest decoded image from which no crop is enlarged more than from the
            full-size one: each crop keeps at least the pixels of its view, or all it has.
    """

    source_size: tuple[int, int]
    views: dict[str, tuple[PlannedView, ...]]
    min_decode_size: tuple[int, int]


@TRANSFORMS.register_module()
class ViewRecipe:
    """Makes groups of views from an image.

    Args:
        groups: group name -> its views, each a :class:`ViewSpec` or a dict of its fields. ``global`` is the group
            of the two large views. All views of a group have one size, they are stacked.

    Raises:
        TypeError, ValueError: a setting is unknown, missing or illegal; the message starts with the group and the
        view.

    Example:
        >>> recipe = ViewRecipe({"global": [dict(size=224, jitter=dict(brightness=0.4)), dict(size=224, grey=0.2)]})
        >>> plan = recipe.plan(375, 500, np.random.default_rng(0))
        >>> views = recipe.render(decode(data, plan.min_decode_size), plan)["global"]   # images (2, 3, 224, 224)
    """

    def __init__(self, groups: Mapping[str, Sequence[ViewSpec | dict]]) -> None:
        if not isinstance(groups, Mapping) or not groups:
            raise TypeError(f"groups={groups!r}: must be a dict such as {{'global': [dict(size=224), dict(size=224)]}}")
        self.specs: dict[str, tuple[ViewSpec, ...]] = {
            name: self._build_group(name, views) for name, views in groups.items()
        }

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
                f"groups[{name!r}]: views of one group are stacked and must have one size, found {sorted(sizes)}; "
                "make a group for each size"
            )
        return tuple(specs)

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
        views = {
            name: tuple(
                PlannedView(
                    sample_crop(height, width, scale=s.scale, ratio=s.ratio, flip=s.flip, rng=rng), sample(s, rng)
                )
                for s in specs
            )
            for name, specs in self.specs.items()
        }
        need = max(
            min(1.0, max(spec.size[0] / view.crop.height, spec.size[1] / view.crop.width))
            for name, specs in self.specs.items()
            for spec, view in zip(specs, views[name], strict=True)
        )
        return Plan((height, width), views, (math.ceil(height * need), math.ceil(width * need)))

    def render(self, image: np.ndarray, plan: Plan, *, photometrics: bool = False) -> dict[str, Views]:
        """Cuts the planned views out of a decoded image.

        Args:
            image: (H', W', 3) uint8 RGB, the full-size source or a scaled decode of it.
            plan: from :meth:`plan`.
            photometrics: apply the photometrics here, with OpenCV, instead of handing their parameters on.

        Returns:
            group name -> views: images (V, 3, h, w) uint8, geometry (V, 2, 3), photometric with fields (V,) or None
            if applied.

        Raises:
            ValueError: ``image`` is not what the plan was drawn for, or no (H, W, 3) uint8 array.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image of shape {image.shape} and dtype {image.dtype}: must be (H, W, 3) uint8")
        return {name: self._render_group(image, plan, name=name, photometrics=photometrics) for name in self.specs}

    def _render_group(self, image: np.ndarray, plan: Plan, *, name: str, photometrics: bool) -> Views:
        """Renders one group, see :meth:`render`."""
        specs, planned = self.specs[name], plan.views[name]
        cuts = [
            cut(image, view.crop, source=plan.source_size, size=spec.size)
            for spec, view in zip(specs, planned, strict=True)
        ]
        maps = geometry.from_box(torch.tensor([box for _, box in cuts], dtype=torch.float64))
        if photometrics:
            for (pixels, _), view in zip(cuts, planned, strict=True):
                apply_cv2_planar(pixels.numpy(), view.photometric)
        images = torch.stack([pixels for pixels, _ in cuts])
        return Views(images, maps, None if photometrics else Photometric.stack([v.photometric for v in planned]))
