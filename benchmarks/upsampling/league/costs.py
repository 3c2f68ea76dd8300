"""What each upsampler of a league takes for one image, and a training for one step."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.record import versions
from benchmarks.core.upsamplers import load_upsampler
from benchmarks.speed.peak_memory import extra
from benchmarks.upsampling import training
from benchmarks.upsampling.league.plan import FIXED, Entrant, League
from heads.upsamplers.base import Upsampler
from pretrain.engine.check import register_all
from pretrain.engine.efficiency import seconds as seconds_of
from pretrain.files import atomic_write, read_dict
from pretrain.progress import Progress
from pretrain.structures import Batch, Views
from pretrain.terms import is_loss

FILE = "costs.json"
_WARM_UP, _RUNS = 10, 50
_LONGEST = 5.0  # seconds of warm-up and of timed runs each; at least three runs are timed
_STEPS = 3  # of a training, the first is a warm-up


@dataclass(frozen=True)
class Cost:
    """One image through an upsampler, batch 1, without gradients.

    Attributes:
        parameters: of the upsampler.
        milliseconds: median, the backbone left out.
        runs: that the median is of.
        megabytes: peak beyond image, features and weights, the result included; None where the
            system keeps no count.
    """

    parameters: int
    milliseconds: float
    runs: int
    megabytes: float | None


@dataclass(frozen=True)
class Costs:
    """What was measured on one network.

    Attributes:
        setting: sizes, device and libraries; in another setting all is measured anew.
        backbone: milliseconds of encoding one image.
        upsamplers: name -> its cost.
        steps: kind that is trained -> seconds of one step.
    """

    setting: dict[str, Any]
    backbone: float
    upsamplers: dict[str, Cost]
    steps: dict[str, float]

    def __str__(self) -> str:
        image, output = ("×".join(map(str, self.setting[name])) for name in ("image", "output"))
        runs = [cost.runs for cost in self.upsamplers.values() if cost.runs]
        return (
            f"Costs: one image of {image} to {output}, batch 1, fp32, {self.setting['device']}, "
            f"{self.setting['threads']} threads; medians of {min(runs)}–{max(runs)} runs, "
            f"without the backbone, which takes {self.backbone:.3g} ms; MB at the peak beyond "
            "image, features and weights, the result included."
        )


def measure_costs(league: League, entrant: Entrant, progress: Progress) -> Costs:
    """Measures the upsamplers on a network, or reads what was measured in the same setting.

    Weights do not change what a call costs: upsamplers that are yet to be trained have random ones.
    """
    path, setting = entrant.folder / FILE, _setting(league)
    known = read_dict(path) if path.is_file() else {}
    if known.get("setting") == setting:
        upsamplers = {name: Cost(**cost) for name, cost in known["upsamplers"].items()}
        return Costs(**known | dict(upsamplers=upsamplers))
    extractor = FeatureExtractor.load(entrant.spec, device=league.device)
    image = torch.rand(1, 3, *setting["image"], generator=torch.Generator().manual_seed(0))
    normalised, features = extractor.normalise(image), extractor.encode(image)
    backbone, _ = _median(lambda: extractor.features(normalised), features.device)
    trainers = _trainers(league, entrant)
    costs = {}
    for name, upsampler in _upsamplers(league, trainers):
        progress(
            f"cost of {name}", len(costs), len(FIXED) + len(trainers) + len(league.options.also)
        )
        output = tuple(setting["output"])
        costs[name] = _cost(upsampler, normalised, features, output=output)
    steps = {}
    for kind, (trainer, count) in trainers.items():
        progress(f"a training step of {kind}", len(costs), len(costs))
        steps[kind] = _step(trainer, count, league.options.size)
    measured = Costs(setting, 1e3 * backbone, costs, steps)
    entrant.folder.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(asdict(measured), indent=1))
    return measured


def _setting(league: League) -> dict[str, Any]:
    """What the costs depend on beside network and upsampler, as JSON has it: sizes are the first
    benchmark's, those of the training crops where it has none.
    """
    task = league.tasks[0]
    size = getattr(task.settings, "size", league.options.size)
    size = (size, size) if isinstance(size, int) else tuple(size)
    return dict(
        image=list(size),
        output=list(grid_of(size, league.stride(task))),
        threads=torch.get_num_threads(),
        crops=league.options.size,
        cfg_options=list(league.options.cfg_options),
        also=list(league.options.also),
        **versions(league.device),
    )


def _trainers(league: League, entrant: Entrant) -> dict[str, tuple[nn.Module, int]]:
    """Kind -> the model of its trainings with random weights, in training mode; images per step."""
    register_all()
    trainers = {}
    for one in league.trainings(entrant, league.options.samples[0]):
        if one.kind not in trainers:
            cfg, _ = training.make_config(league.request(one))
            trainer = MODELS.build(cfg.model).to(league.device).train()
            trainers[one.kind] = trainer, cfg.schedule.global_batch
    return trainers


def _upsamplers(
    league: League, trainers: Mapping[str, tuple[nn.Module, int]]
) -> Iterator[tuple[str, Upsampler | None]]:
    """Yields name and upsampler."""
    for name in (*FIXED, *league.options.also):
        yield name, load_upsampler(name, league.device)
    for kind, (trainer, _) in trainers.items():
        trainer.upsampler.eval()
        yield kind, trainer.upsampler
        trainer.upsampler.train()


def _cost(
    upsampler: Upsampler | None, image: Tensor, features: Tensor, *, output: tuple[int, int]
) -> Cost:
    if upsampler is None:
        return Cost(0, 0.0, 0, 0.0)

    def call() -> Tensor:
        with torch.no_grad():
            return upsampler.upsample(image, features, output)

    _, peak = extra(call, features.device)
    middle, runs = _median(call, features.device)
    parameters = sum(weights.numel() for weights in upsampler.parameters())
    return Cost(parameters, 1e3 * middle, runs, peak / 1e6 if peak == peak else None)


def _median(action: Callable[[], object], device: torch.device) -> tuple[float, int]:
    """Median seconds of an action, and of how many runs."""
    for most, least in ((_WARM_UP, 1), (_RUNS, 3)):
        taken: list[float] = []
        begun = time.perf_counter()
        while len(taken) < least or (len(taken) < most and time.perf_counter() - begun < _LONGEST):
            taken.append(seconds_of(action, device))
    return statistics.median(taken), len(taken)


def _step(trainer: nn.Module, count: int, size: int) -> float:
    """Seconds of one step: forward and backward of ``count`` random photos of ``size`` pixels."""
    device = trainer.draws.device
    images = torch.randn(count, 1, 3, size, size, device=device)
    views = Views(images, torch.zeros(count, 1, 2, 3, device=device))
    batch = Batch({"global": views}, None, torch.arange(count, device=device))

    def step() -> None:
        losses = trainer(batch)
        sum(value for name, value in losses.items() if is_loss(name)).backward()
        trainer.zero_grad()

    return statistics.median([seconds_of(step, device) for _ in range(_STEPS)][1:])
