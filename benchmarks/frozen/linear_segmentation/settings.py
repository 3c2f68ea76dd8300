"""The protocol of linear segmentation, one commented line per number."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.benchmark import speed_only
from benchmarks.frozen.linear_segmentation.schedules import SCHEDULES, Course
from benchmarks.frozen.linear_segmentation.sliding import SMALL
from pretrain.names import check_choice

_CHOICES = dict(
    rounding=("half-up", "down"),
    train_view=("ratio-crop", "area-crop", "centre", "squash"),
    test_view=("own", "centre", "squash"),
    flip_by=("image", "batch"),
    optimiser=("adamw", "sgd"),
    schedule=tuple(SCHEDULES),
    length_in=("iterations", "epochs"),
    small_images=SMALL,
    padded=("cut", "stretched"),
)


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data, network and upsampler."""

    # Geometry. size: (H, W) in pixels of training crops, of windows and of squashed images.
    size: tuple[int, int] = (512, 512)
    short_side: int = 512  # images are resized to it, ratio kept, unless they are squashed
    long_side: int = 0  # at most so long after that; 0: any length
    rounding: str = (
        "half-up"  # of resized sides; down is torchvision's rule (480 × 640 → 512 × 682)
    )
    antialias: bool = True  # Pillow's bilinear filter; False: two taps per axis, as OpenCV's
    # Training views. ratio-crop: short side times a random ratio, random crop, photometrics,
    # padded; area-crop: random part of the image, squashed; centre: short side, central size;
    # squash: the whole image
    train_view: str = "ratio-crop"
    ratio: tuple[float, float] = (0.5, 2.0)  # of the short and the long side, uniform
    largest_share: float = 0.75  # of one class in a crop; drawn again up to ten times; 1: any
    area: tuple[float, float] = (0.8, 1.0)  # share of the image that an area-crop takes
    flip: float = 0.5  # probability of mirroring
    flip_by: str = "image"  # or batch: one coin for the whole batch
    photometric: bool = True  # of ratio-crops: brightness, contrast, saturation, hue
    hue: float = 0.5  # largest shift of the hue, in turns of the circle
    mask_side: int = 0  # masks are trained and scored as squares of it; 0: at the views' own size
    # The head: dropout of channels, BatchNorm, 1×1 convolution
    dropout: float = 0.1
    batch_norm: bool = True  # its statistics over all processes
    init_std: float = 0.01  # of the weights, biases 0; 0: both uniform within ±1/√C
    # Training
    length: int = 40_000
    length_in: str = "iterations"  # or epochs
    drop_last: bool = False  # the last images of an epoch that do not fill a batch
    images_per_step: int = 16  # over all processes
    optimiser: str = "adamw"  # β 0.9, 0.999; or sgd
    lr: float = 1e-3  # the peak
    weight_decay: float = 1e-3
    momentum: float = 0.9  # of sgd
    schedule: str = "dinov3"  # see schedules.py
    warmup: int = 1500  # iterations, of dinov3 and poly
    drops: tuple[int, ...] = ()  # epochs, 0 first, of the schedule drops
    seed: int = 100  # of initial weights, order, views and dropout
    # Test. own: short side, windows, scored at the mask's own size; centre, squash: as in training
    test_view: str = "own"
    window_stride: int = 341  # pixels between windows of own; 0: the whole image at once
    small_images: str = "whole"  # one smaller than the window: one window, or square ones
    # scores of views that the network pads to whole patches: cut out of the padded area, or
    # stretched over the view as if there were no padding, as DINOv2's evaluation does
    padded: str = "cut"
    scales: tuple[float, ...] = (1.0,)  # of the short side; class probabilities are averaged
    flip_test: bool = False  # each of them mirrored as well
    spare_outputs: int = 0  # classes that no pixel has, counted with IoU 0
    absent_as_zero: bool = False  # classes that occur nowhere count with IoU 0
    # of the scored part, evenly spread over training; the best mIoU of all is the one reported
    evaluations: int = 1
    # for features of views that recur; more than half of the free memory is never taken
    cache_bytes: int = speed_only(8 << 30)
    batch_size: int = speed_only(8)  # windows encoded at once at test

    def __post_init__(self) -> None:
        for name in ("size", "ratio", "area", "drops", "scales"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, legal in _CHOICES.items():
            check_choice(name, getattr(self, name), legal)
        self._check_numbers()
        self._check_together()

    def _check_numbers(self) -> None:
        positive = ("short_side", "length", "images_per_step", "lr", "evaluations", "batch_size")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        not_negative = ("long_side", "hue", "mask_side", "init_std", "weight_decay", "momentum")
        not_negative += ("warmup", "window_stride", "spare_outputs", "cache_bytes")
        for name in not_negative:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must not be negative")
        for name, end in (("largest_share", "]"), ("flip", "]"), ("dropout", ")")):
            value = getattr(self, name)
            if not 0 <= value <= 1 or (end == ")" and value == 1):
                raise ValueError(f"{name}={value!r} must be in [0, 1{end}")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size!r} must be two positive numbers, (H, W)")
        for name, most in (("ratio", None), ("area", 1.0)):
            value = getattr(self, name)
            if len(value) != 2 or not 0 < value[0] <= value[1] or (most and value[1] > most):
                limit = f", the second at most {most:g}" if most else ""
                raise ValueError(
                    f"{name}={value!r} must be two positive numbers, the smaller first{limit}"
                )
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales={self.scales!r} must be one or more positive numbers")
        if any(epoch < 1 for epoch in self.drops):
            raise ValueError(f"drops={self.drops!r} must be epochs from 1 on")

    def _check_together(self) -> None:
        if self.window_stride > min(self.size):
            raise ValueError(
                f"window_stride={self.window_stride} is more than the shorter side of "
                f"size={self.size!r}: pixels between the windows would get no class"
            )
        if self.test_view != "own" and self.scales != (1.0,):
            raise ValueError(
                f"scales={self.scales!r}: only test_view='own' has several sizes, found "
                f"test_view={self.test_view!r}"
            )
        if "centre" in (self.train_view, self.test_view) and max(self.size) > self.short_side:
            raise ValueError(
                f"size={self.size!r}: a centre crop cannot be larger than "
                f"short_side={self.short_side}"
            )
        if self.spare_outputs and not self.absent_as_zero:
            raise ValueError(
                f"spare_outputs={self.spare_outputs}: outputs that no pixel has would count "
                "whenever they are predicted and not otherwise; set absent_as_zero=True"
            )

    def course(self, images: int) -> Course:
        """How long training on so many images is.

        Raises:
            ValueError: no whole batch, a warm-up that does not end, or more evaluations than
                iterations.
        """
        per_epoch = -(-images // self.images_per_step)
        if self.drop_last:
            per_epoch = images // self.images_per_step
        if not per_epoch:
            raise ValueError(
                f"images_per_step={self.images_per_step} is more than the {images} train images, "
                "and drop_last=True leaves none of them"
            )
        by_epochs = self.length_in == "epochs"
        iterations = self.length * per_epoch if by_epochs else self.length
        if self.warmup >= iterations and self.schedule in ("dinov3", "poly"):
            raise ValueError(
                f"warmup={self.warmup} must be shorter than training, {iterations} iterations"
            )
        if self.evaluations > iterations:
            raise ValueError(
                f"evaluations={self.evaluations}: training has {iterations} iterations only"
            )
        return Course(iterations, per_epoch, self.warmup, self.drops)
