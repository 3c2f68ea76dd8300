"""Multi-view consistency of trained upsamplers on held-out images: are fine features, moved and
pooled, those of the moved image?

    residual of image x and jitter t:   pool(t(upsample(x, f(x)))) − f(t(x))

Once with one pooling for all, the mean over each cell (``uniform``), and once with the downsampler
and the uncertainty that were trained beside the upsampler (``own``). Jitters are drawn per image
from the settings' seed, the same for all arms: these can be compared image by image.
Numbers of different backbones, and of features that an upsampler normalises first
(``JBUStack(norm=True)``; f is then normalised on both sides), have different units and never share
a protocol. The loss is that of FeatUp (arXiv 2403.10516), without random projection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.record import Metric, Record, require_defined, versions
from benchmarks.data.loading import centre_crop, file_size, fingerprint, ordered_map
from benchmarks.weights.checkpoint import Checkpoint
from heads.upsamplers.base import Upsampler
from heads.upsamplers.interpolation import Interpolation
from pretrain.data.decode import decode_file
from pretrain.data.sampler import JITTER, stream
from pretrain.data.sources import ImageFolder
from pretrain.engine.check import register_all
from pretrain.progress import Progress
from pretrain.upsampling.downsamplers import Downsampler, SimpleDownsampler
from pretrain.upsampling.jitter import draw_jitter
from pretrain.upsampling.losses import reconstruction
from pretrain.upsampling.model import UpsamplerTrainer
from pretrain.weights.filling import weights_fingerprint

UNITS = {"mse": "feature²", "nll": "nat"}


@dataclass(frozen=True)
class Settings:
    """What a number depends on beside arm and images."""

    size: int = 224  # side of the central crop, pixels; whole cells of the backbone
    images: int | None = None  # evenly spread over the folder; None = all
    jitters: int = 4  # per image
    pad: int = 20  # pixels, see ``draw_jitter``
    max_zoom: float = 2.0
    seed: int = 0  # of the jitters
    batch_size: int = 8  # changes memory and nothing else

    def __post_init__(self) -> None:
        for name, least in (("size", 2), ("jitters", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least {least}")
        if self.images is not None and self.images < 1:
            raise ValueError(f"images={self.images}: must be at least 1 or None")
        draw_jitter((self.size, self.size), torch.Generator(), pad=self.pad, max_zoom=self.max_zoom)


class Photos:
    """Images of a folder at any depth, in the order of their paths.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.source = ImageFolder(str(root), labels=False)

    def ids(self, count: int | None) -> list[int]:
        """Numbers of ``count`` images evenly spread over the folder, of all for None."""
        total = len(self.source)
        return np.linspace(0, total - 1, min(count or total, total)).round().astype(int).tolist()

    def protocol(self, ids: list[int]) -> dict[str, Any]:
        """What of the data belongs to a protocol; no path."""
        files = [Path(self.source.name(i)) for i in ids]
        rows = ((str(f.relative_to(self.source.root)), file_size(f)) for f in files)
        return dict(images=len(ids), content=fingerprint(rows))

    def batches(
        self, ids: list[int], size: int, batch_size: int
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yields (ids, central crops (B, 3, size, size) float in [0, 1])."""
        window: list[np.ndarray] = []
        for number, image in enumerate(
            ordered_map(lambda i: self._image(i, size), ids, 2 * batch_size), 1
        ):
            window.append(image)
            if len(window) == batch_size or number == len(ids):
                yield (
                    ids[number - len(window) : number],
                    torch.from_numpy(np.stack(window)).permute(0, 3, 1, 2) / 255,
                )
                window = []

    def _image(self, index: int, size: int) -> np.ndarray:
        return centre_crop(decode_file(self.source.name(index)), size, 1.0)


@dataclass(frozen=True)
class Arm:
    """An upsampler with the backbone it was trained for.

    Attributes:
        spec: what the user called it.
        trainer: in eval mode.
        own: False: only the uniform pooling, nothing was trained.
        space: another upsampler whose ``reference`` features pass before this arm's, so that both
            can be compared; None takes them as they are.
    """

    spec: str
    trainer: UpsamplerTrainer
    own: bool = True
    space: Upsampler | None = None

    @property
    def normalises(self) -> bool:
        """Whether residuals are of normalised features, not of the backbone's own."""
        return (self.space or self.trainer.upsampler).normalises

    def upsample(self, images: Tensor) -> Tensor:
        """Features (B, C, H, W) of normalised images (B, 3, H, W), at their size."""
        features = self.trainer.encode(images)
        features = features if self.space is None else self.space.reference(features)
        return self.trainer.upsampler(images, features, tuple(images.shape[-2:]))

    def target(self, images: Tensor) -> Tensor:
        """What upsampled features of images (B, 3, H, W) are compared with once they are pooled,
        (B, C, h, w)."""
        return (self.space or self.trainer.upsampler).reference(self.trainer.encode(images))

    @property
    def is_bilinear(self) -> bool:
        """Whether it is the baseline."""
        return self.trainer.upsampler.config == Interpolation("bilinear").config

    def describe(self) -> dict[str, Any]:
        """Says which arm this is, as plain values for ``Record.subject``."""
        described = self.trainer.describe()
        return dict(
            spec=self.spec,
            upsampler=described["upsampler"],
            objective=described["objective"],
            backbone=described["backbone"],
            fingerprint=weights_fingerprint(self.trainer),
        )


def load_arm(path: str | Path, device: torch.device | str = "cpu") -> Arm:
    """Builds what ``pixelpretext train-upsampler`` trained.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that it did not write, or whose weights are not those of the model it
            describes.
    """
    checkpoint = Checkpoint.read(path)
    meta = checkpoint.meta
    if not {"upsampler", "objective", "backbone", "map_stride", "normalisation"} <= set(meta):
        raise ValueError(
            f"{path}: not a checkpoint of pixelpretext train-upsampler: it names no upsampler"
        )
    register_all()
    trainer = UpsamplerTrainer(
        checkpoint.architecture,
        meta["upsampler"],
        meta["objective"],
        map_stride=meta["map_stride"],
        data_preprocessor=dict(type="ViewPreprocessor", **checkpoint.normalisation),
    )
    checkpoint.fill(trainer)
    return Arm(str(path), trainer.to(device).eval(), own=trainer.objective.downsampler is not None)


def bilinear_of(arm: Arm) -> Arm:
    """The baseline on an arm's backbone and in its space, without a downsampler of its own."""
    trainer = arm.trainer
    plain = UpsamplerTrainer(
        trainer.backbone.architecture,
        dict(type="Interpolation", mode="bilinear"),
        dict(type="ScaleRegression"),
        map_stride=trainer.map_stride,
        data_preprocessor=dict(type="ViewPreprocessor", **trainer.data_preprocessor.normalisation),
    )
    plain.backbone.load_state_dict(trainer.backbone.state_dict())
    plain = plain.to(next(trainer.parameters()).device).eval()
    space = trainer.upsampler if arm.normalises else None
    return Arm("bilinear", plain, own=False, space=space)


@torch.inference_mode()
def run(arm: Arm, data: Photos, settings: Settings, *, progress: Progress | None = None) -> Record:
    """Measures one arm.

    Returns:
        Record ``consistency``: ``uniform_mse`` and, for a trained downsampler, ``own_mse`` and
        ``own_nll`` (lower is better), means over images; ``uniform_unexplained``, the first in
        percent of the features' variance. Counts hold every image's losses. Cost: (1 + jitters)
        passes through the backbone per image.

    Raises:
        ValueError: a size that is not whole cells; features that do not vary or are not finite.
    """
    trainer, started = arm.trainer, time.perf_counter()
    if settings.size % trainer.map_stride:
        raise ValueError(
            f"size={settings.size}: must be a multiple of the backbone's stride "
            f"{trainer.map_stride}"
        )
    ids = data.ids(settings.images)
    rows: dict[str, list[float]] = {}
    sums = torch.zeros(3, dtype=torch.float64)
    for numbers, images in data.batches(ids, settings.size, settings.batch_size):
        images = (
            images.to(trainer.draws.device) - trainer.data_preprocessor.mean
        ) / trainer.data_preprocessor.std
        losses, moments = _losses(arm, images, numbers, settings)
        for name, values in losses.items():
            rows.setdefault(name, []).extend(values.tolist())
        sums += moments
        if progress is not None:
            progress("images", len(rows["uniform_mse"]), len(ids))
    units = {name: UNITS[name.split("_")[1]] for name in rows}
    metrics = {
        name: Metric(float(np.mean(values)), units[name], "lower") for name, values in rows.items()
    }
    variance = float(sums[1] / sums[2] - (sums[0] / sums[2]) ** 2)
    share = metrics["uniform_mse"].value / variance if variance > 0 else math.nan
    metrics["uniform_unexplained"] = Metric(100 * share, "%", "lower")
    require_defined(
        "consistency", metrics, "features must be finite and vary; did the backbone collapse?"
    )
    return Record(
        "consistency",
        metrics,
        _protocol(arm, data, ids, settings),
        dict(per_image=dict(image=ids, **rows)),
        dict(seconds=time.perf_counter() - started),
        arm.describe(),
        versions(str(trainer.draws.device)),
    )


def _protocol(arm: Arm, data: Photos, ids: list[int], settings: Settings) -> dict[str, Any]:
    drawn = {
        key: value for key, value in asdict(settings).items() if key not in ("images", "batch_size")
    }
    trainer = arm.trainer
    drawn |= data.protocol(ids) | dict(
        stride=trainer.map_stride, backbone=weights_fingerprint(trainer.backbone)
    )
    return drawn | (dict(space="normalised") if arm.normalises else {})


def _losses(
    arm: Arm, images: Tensor, numbers: list[int], settings: Settings
) -> tuple[dict[str, Tensor], Tensor]:
    """Per-image losses (B,), means over jitters; sum, sum of squares and count of all target
    values.
    """
    size = tuple(images.shape[-2:])
    fine = arm.upsample(images)  # (B, C, H, W)
    uniform: Downsampler = SimpleDownsampler(fine.shape[1], arm.trainer.map_stride).to(fine.device)
    losses: dict[str, Tensor] = {}
    moments = torch.zeros(3, dtype=torch.float64)
    for repeat in range(settings.jitters):
        jitters = [
            draw_jitter(
                size,
                _generator(settings.seed, number, repeat),
                pad=settings.pad,
                max_zoom=settings.max_zoom,
            )
            for number in numbers
        ]
        view, moved = (
            torch.cat([jitter(maps[i : i + 1]) for i, jitter in enumerate(jitters)])
            for maps in (images, fine)
        )
        target = arm.target(view)
        moments += (
            torch.stack([target.sum(), (target**2).sum(), torch.tensor(target.numel())])
            .double()
            .cpu()
        )
        for name, loss in _one_view(arm, uniform, moved, target).items():
            losses[name] = losses.get(name, 0) + loss.double().cpu() / settings.jitters
    return losses, moments


def _one_view(arm: Arm, uniform: Downsampler, moved: Tensor, target: Tensor) -> dict[str, Tensor]:
    grid, objective = tuple(target.shape[-2:]), arm.trainer.objective
    errors = {"uniform_mse": reconstruction(uniform(moved, grid), target)}
    if arm.own:
        prediction = objective.downsampler(moved, grid)
        errors["own_mse"] = reconstruction(prediction, target)
        if objective.uncertainty is not None:
            errors["own_nll"] = reconstruction(prediction, target, objective.uncertainty(target))
    return errors


def _generator(seed: int, number: int, repeat: int) -> torch.Generator:
    """Draws of one image and repeat, whatever the batch and the arm."""
    return torch.Generator().manual_seed(int(stream(seed, JITTER, repeat, number).random_raw()))
