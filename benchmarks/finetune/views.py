"""Training images of fine-tuning: one random-resized crop each, mirrored, RandAugment of timm."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from mmengine.registry import TRANSFORMS
from PIL import Image
from timm.data.auto_augment import rand_augment_transform

from benchmarks.finetune.seeding import seeded
from pretrain import geometry
from pretrain.structures import Views
from pretrain.views.crop import Crop, cut
from pretrain.views.preprocessor import IMAGENET_MEAN
from pretrain.views.recipe import Plan, ViewRecipe

_GROUP = "global"
# What turned and shifted images leave open.
_FILL = tuple(round(255 * value) for value in IMAGENET_MEAN)


@dataclass(frozen=True)
class FinetunePlan:
    """The drawn parameters of one image: its crop, and the number from which RandAugment draws."""

    source_size: tuple[int, int]
    crop: Crop
    min_decode_size: tuple[int, int]
    number: int


@TRANSFORMS.register_module()
class FinetuneViews:
    """Makes one view of an image, in the group ``global``: crop, bicubic resize, mirror,
    RandAugment.

    The operations of RandAugment move and recolour the image in one go, so its geometry is that of
    the crop alone. Random erasing, mixup and cutmix follow on the device (``Finetuner``).

    Args:
        size: of the view in pixels.
        scale: (low, high) of the crop's share of the image's area.
        ratio: (low, high) of its width / height.
        flip: probability of mirroring.
        randaugment: timm's description, ``rand-m9-mstd0.5-inc1``; None leaves it out.
        centre: None: crops are drawn. A share in (0, 1]: what a test with this ``crop_fraction``
            shows is taken instead, the central square of that share of the shorter side.

    Raises:
        TypeError, ValueError: an illegal setting.
    """

    def __init__(
        self,
        size: int = 224,
        *,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        randaugment: str | None = "rand-m9-mstd0.5-inc1",
        centre: float | None = None,
    ) -> None:
        if centre is not None and not 0 < centre <= 1:
            raise ValueError(f"centre={centre!r}: must be in (0, 1], or None to draw crops")
        self.centre = centre
        self._crops = ViewRecipe({_GROUP: [dict(size=size, scale=scale, ratio=ratio, flip=flip)]})
        self.specs = self._crops.specs
        self.augment = None
        if randaugment is not None:
            # Largest shift and filter as timm's own training transform sets them.
            options = dict(
                translate_const=int(0.45 * size),
                img_mean=_FILL,
                interpolation=Image.Resampling.BICUBIC,
            )
            try:
                self.augment = rand_augment_transform(randaugment, options)
            except (AssertionError, ValueError, KeyError) as error:
                raise ValueError(
                    f"randaugment={randaugment!r}: timm cannot read it ({error}); a legal one "
                    "is 'rand-m9-mstd0.5-inc1'"
                ) from error

    def plan(self, height: int, width: int, rng: np.random.Generator) -> FinetunePlan:
        """Draws all parameters for an upright image of this size in pixels."""
        plan: Plan = self._crops.plan(height, width, rng)
        number = int(rng.integers(2**63))
        crop, need = plan.views[_GROUP][0].crop, plan.min_decode_size
        if self.centre is not None:
            size = self.specs[_GROUP][0].size[0]
            crop = replace(central_square(height, width, size, self.centre), flip=crop.flip)
            scale = min(1.0, size / min(crop.height, crop.width))
            need = math.ceil(height * scale), math.ceil(width * scale)
        return FinetunePlan(plan.source_size, crop, need, number)

    def render(
        self, image: np.ndarray, plan: FinetunePlan, *, photometrics: bool = False
    ) -> dict[str, Views]:
        """Cuts the view out of (H, W, 3) uint8, which may be a scaled decode: images (1, 3, size,
        size) uint8.

        ``photometrics`` changes nothing: RandAugment always runs here.
        """
        size = self.specs[_GROUP][0].size
        pixels, box = cut(image, plan.crop, source=plan.source_size, size=size, mode="bicubic")
        if self.augment is not None:
            with seeded(plan.number):
                changed = self.augment(Image.fromarray(pixels.permute(1, 2, 0).numpy()))
            pixels = torch.from_numpy(np.array(changed)).permute(2, 0, 1).contiguous()
        place = geometry.from_box(torch.tensor(box, dtype=torch.float64))
        return {_GROUP: Views(pixels[None], place[None], None)}


def central_square(height: int, width: int, size: int, fraction: float) -> Crop:
    """What :func:`benchmarks.data.loading.centre_crop` shows of an image of (H, W) pixels, in whole
    pixels of the image: its sides may differ by one.
    """
    short = max(size, round(size / fraction))
    scale = short / min(height, width)
    edges = []
    for side in (height, width):
        first = (max(short, round(side * scale)) - size) // 2
        start = min(round(first / scale), side - 1)
        edges.append((start, max(1, min(side, round((first + size) / scale)) - start)))
    (top, rows), (left, columns) = edges
    return Crop(top, left, rows, columns)
