"""Dead units: which units of a ReLU network are silent on every image?

A unit is a channel behind a ReLU. It is dead on these images if it is not above zero at any place
of any of them: nothing behind it can depend on them through it, and no gradient passes. Measured on
the images of a task before it is learnt, this is what a pretraining left of the network for the
task.

Cost: the images encoded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.analysis.dead_units_figure import DEAD_UNITS
from benchmarks.analysis.images import evenly_spread
from benchmarks.analysis.layers import Shown, layers_of, show_images, watching
from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.core.vectors import check_settings
from benchmarks.data import ClassFolder
from pretrain.progress import Progress

RECTIFIERS = (nn.ReLU, nn.ReLU6)


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: int = 224  # side of the square input in pixels
    # shorter side is resized to size / crop_fraction, then the centre is cut
    crop_fraction: float = 0.875
    images: int = 1000  # of the validation part at most, evenly spread
    batch_size: int = speed_only(64)  # images encoded at once

    def __post_init__(self) -> None:
        check_settings(self, ("size", "images", "batch_size"))


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures the share of dead units of all layers, of the last one and of the worst one.

    Raises:
        ValueError: a network without ReLUs.
    """
    layers = layers_of(extractor, RECTIFIERS, settings.size)
    if not layers:
        raise ValueError(
            f"{extractor.spec}: no image passes a ReLU in this network, and units of other "
            "activations are never silent; choose a network with ReLUs, such as a ResNet"
        )
    largest: dict[str, Tensor] = {}

    def see(name: str, _: Tensor, output: Tensor) -> None:
        now = highest(output)
        largest[name] = torch.maximum(largest[name], now) if name in largest else now

    with watching(layers, see):
        shown = show_images(extractor.vector, _shown(data, settings), progress=progress)
    dead = {name: largest[name] <= 0 for name in layers}
    shares = [100 * units.double().mean().item() for units in dead.values()]
    per_layer = dict(
        layer=list(dead),
        units=[len(units) for units in dead.values()],
        dead=[int(units.sum()) for units in dead.values()],
    )
    whole = 100 * sum(per_layer["dead"]) / sum(per_layer["units"])
    return Result(_metrics(whole, shares[-1], max(shares)), dict(per_layer=per_layer, images=shown))


def highest(outputs: Tensor) -> Tensor:
    """(C,) largest value of each unit in maps (B, C, H, W), tokens (B, N, C) or vectors (B, C)."""
    places = (0, 2, 3) if outputs.ndim == 4 else tuple(range(outputs.ndim - 1))
    return outputs.amax(places)


def _shown(data: ClassFolder, settings: Settings) -> Shown:
    return Shown(
        data.val, settings.images, settings.size, settings.crop_fraction, settings.batch_size
    )


def _metrics(dead: float, last: float, most: float) -> dict[str, Metric]:
    values = dict(dead=dead, dead_last=last, dead_most=most)
    return {name: Metric(value, "%", "lower") for name, value in values.items()}


def _coin(data: ClassFolder, settings: Settings, *, progress: Progress | None = None) -> Result:
    """Units that a coin turns on or off for each image as a whole."""
    silent = 100 * 0.5 ** len(evenly_spread(len(data.val), settings.images))
    return Result(_metrics(silent, silent, silent))


BENCHMARK = Benchmark(
    name="dead_units",
    about="units behind ReLUs that are silent on every image",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("dead", "dead_last", "dead_most"),
    quick=dict(size=64, images=200),
    baselines=dict(coin=_coin),
    figures=(DEAD_UNITS,),
)
