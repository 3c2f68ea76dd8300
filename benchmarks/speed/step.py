"""Times one training step against the bare backbone passes it needs, and shows where the rest goes.

The step is the real one: Pretrainer, photometrics on the device, optimiser, moving targets. Each
repetition runs one step, its bare passes alone, and the heads with the loss alone; the printed
values are medians over repetitions, the efficiency is the median of the ratios within a repetition,
so that a machine that gets slower or busy in between spoils few of them. On a machine that others
use at the same time wall clock says little: ``--clock cpu`` counts the processor seconds of this
process, on one thread.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import MODELS  # noqa: E402
from torch import Tensor  # noqa: E402

from pretrain.backbones.timm_backbone import Features  # noqa: E402
from pretrain.engine.check import register_all  # noqa: E402
from pretrain.engine.efficiency import BarePasses, seconds, synchronise, undisturbed_rng  # noqa: E402
from pretrain.engine.optim import DTYPES, PrecisionOptimWrapper, build_optimizer  # noqa: E402
from pretrain.hooks.throughput import peak_memory  # noqa: E402
from pretrain.memory import keep_freed_memory  # noqa: E402
from pretrain.structures import Batch, collate  # noqa: E402
from pretrain.views.recipe import ViewRecipe  # noqa: E402

# Photometrics of this recipe, the papers' own, at the size asked for.
RECIPE = ROOT / "configs" / "_base_" / "views_pixpro224.py"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
COLUMNS = (
    "hidden",
    "images/s",
    "ms/step",
    "ms bare",
    "step efficiency",
    "photometrics",
    "heads + loss",
    "optimiser",
    "EMA",
    "rest",
    "peak GiB",
)


@dataclass(frozen=True)
class StepSettings:
    """What is timed."""

    backbone: str = "resnet18"  # timm name
    output_stride: int | None = None  # 32, 16 or 8; None = the network's own
    size: int = 96  # pixels of a view
    batch: int = 64  # images per step, each with two views
    objective: str = "PixPro"  # registered name
    hidden: int | None = 512  # width inside projectors; None = the objective's own
    precision: str = "fp32"  # fp32, bf16 or fp16
    device: str = "cpu"  # torch's name
    channels_last: bool = True  # memory layout, as the engine's default
    compile: bool = False  # torch.compile on the backbones
    clock: str = (
        "wall"  # or "cpu": processor seconds of this process, for one thread on a busy machine
    )
    warmup: int = 2  # repetitions that do not count
    repetitions: int = 7  # repetitions that count


def example_batch(size: int, count: int) -> Batch:
    """Returns a batch of ``count`` noise images as it leaves the workers: uint8 views, photometrics
    still to apply.
    """
    groups = Config.fromfile(RECIPE).views.groups.to_dict()
    recipe = ViewRecipe(
        {name: [{**view, "size": size} for view in views] for name, views in groups.items()}
    )
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    samples = []
    for index in range(count):
        views = recipe.render(image, recipe.plan(*image.shape[:2], rng))
        samples.append(Batch(views, None, torch.tensor(index)))
    return collate(samples)


class GivenEncodings:
    """Encodings computed beforehand: what is left of an objective is heads and loss.

    Args:
        online: group -> features of its views; leaves of the graph. target: likewise, without
            gradient.
    """

    def __init__(
        self, online: dict[str, list[Features]], target: dict[str, list[Features]]
    ) -> None:
        self._online, self._target = online, target

    def online(self, group: str, images: Tensor | None = None) -> list[Features]:
        """Returns the given features, also where an objective hides parts of the images."""
        return self._online[group]

    def target(self, group: str) -> list[Features]:
        """Returns the given features."""
        return self._target[group]


class Step:
    """One training step in parts that can be timed.

    Args:
        settings: what to build.
    """

    def __init__(self, settings: StepSettings) -> None:
        register_all()
        torch.manual_seed(0)
        self.device = torch.device(settings.device)
        self.clock = CLOCKS[settings.clock]
        self.dtype = DTYPES[settings.precision]
        objective = dict(type=settings.objective)
        if settings.hidden is not None:
            objective["hidden"] = settings.hidden
        model = MODELS.build(
            dict(
                type="Pretrainer",
                backbone=dict(
                    type="TimmBackbone",
                    name=settings.backbone,
                    output_stride=settings.output_stride,
                ),
                objectives=[objective],
                data_preprocessor=dict(
                    type="ViewPreprocessor", channels_last=settings.channels_last
                ),
            )
        ).to(self.device)
        self.model = (
            model.to(memory_format=torch.channels_last) if settings.channels_last else model
        )
        self.model.train()
        if settings.compile:
            for part in (self.model.backbone, self.model.target_backbone):
                if part is not None:
                    part.compile()
        optimizer = build_optimizer(
            self.model, dict(type="Lars", momentum=0.9, weight_decay=1e-5), lr=0.1
        )
        self.wrapper = PrecisionOptimWrapper(
            optimizer, settings.precision, device_type=self.device.type
        )
        self.batch = example_batch(settings.size, settings.batch)
        if self.device.type == "cuda":
            self.batch = self.batch.pin_memory()

    def run(self) -> dict[str, float]:
        """Takes one step; returns the seconds of its parts and of the ``step``."""
        model, parts = self.model, {}

        def prepare() -> None:
            self._ready = model.data_preprocessor(self.batch, True)["batch"]

        def learn() -> None:
            with self.wrapper.optim_context(model):
                terms = model(self._ready)
            loss = sum(value for name, value in terms.items() if "loss" in name)
            self.wrapper.backward(loss)

        def update() -> None:
            self.wrapper.step()
            self.wrapper.zero_grad()

        parts["photometrics"] = seconds(prepare, self.device, self.clock)
        parts["forward, backward"] = seconds(learn, self.device, self.clock)
        parts["optimiser"] = seconds(update, self.device, self.clock)
        parts["EMA"] = seconds(lambda: model.update_targets(0.1), self.device, self.clock)
        parts["step"] = sum(parts.values())
        return parts

    def bare(self) -> BarePasses:
        """Returns the bare passes on this step's batch, prepared."""
        return BarePasses(
            self.model, self.model.data_preprocessor(self.batch, True)["batch"], self.dtype
        )

    def heads(self) -> float:
        """Returns the seconds of heads and loss, forward and backward down to the features,
        features given.
        """
        batch = self.model.data_preprocessor(self.batch, True)["batch"]
        with torch.no_grad(), self.wrapper.optim_context(self.model):
            images = {g: views.images.unbind(1) for g, views in batch.views.items()}
            target = {g: [self.model.backbone(v) for v in views] for g, views in images.items()}
            online = {g: [_as_leaves(f) for f in features] for g, features in target.items()}

        def run() -> None:
            with self.wrapper.optim_context(self.model):
                terms = self.model.objectives[0](batch, GivenEncodings(online, target))
            sum(value for name, value in terms.items() if "loss" in name).backward()

        with undisturbed_rng(self.device):
            taken = seconds(run, self.device, self.clock)
        self.model.zero_grad(set_to_none=True)
        return taken


def _as_leaves(features: Features) -> Features:
    return features.each(lambda tensor: tensor.detach().clone().requires_grad_())


def measure(settings: StepSettings) -> dict[str, float]:
    """Returns medians over repetitions.

    Returns:
        ``images/s``, ``ms/step``, ``ms bare``, ``step efficiency``; shares of the step
        ``photometrics``, ``heads + loss``, ``optimiser``, ``EMA`` and ``rest`` (what running
        together costs or saves: may be below 0); ``peak GiB``.
    """
    if settings.device == "cpu":
        keep_freed_memory()  # as the engine does
    step = Step(settings)
    if step.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(step.device)
    step.run()
    synchronise(step.device)
    peak = peak_memory(step.device)  # before the copies are made
    bare = step.bare()
    rows = []
    for repetition in range(settings.warmup + settings.repetitions):
        parts = step.run()
        alone = sum(bare.measure(step.clock).values())
        heads = step.heads()
        if repetition >= settings.warmup:
            rows.append((parts, alone, heads))
    median = statistics.median
    result = {
        "images/s": settings.batch / median(p["step"] for p, _, _ in rows),
        "ms/step": 1e3 * median(p["step"] for p, _, _ in rows),
        "ms bare": 1e3 * median(a for _, a, _ in rows),
        "step efficiency": median(a / p["step"] for p, a, _ in rows),
        "photometrics": median(p["photometrics"] / p["step"] for p, _, _ in rows),
        "heads + loss": median(h / p["step"] for p, _, h in rows),
        "optimiser": median(p["optimiser"] / p["step"] for p, _, _ in rows),
        "EMA": median(p["EMA"] / p["step"] for p, _, _ in rows),
    }
    shares = ("step efficiency", "photometrics", "heads + loss", "optimiser", "EMA")
    return {**result, "rest": 1 - sum(result[name] for name in shares), "peak GiB": peak}


def table_row(hidden: int | None, values: dict[str, float]) -> str:
    """Returns one Markdown row in the order of ``COLUMNS``."""
    cells = ["own" if hidden is None else str(hidden)]
    cells += [f"{values['images/s']:.1f}", f"{values['ms/step']:.0f}", f"{values['ms bare']:.0f}"]
    cells += [f"{values['step efficiency']:.3f}"]
    cells += [f"{100 * values[name]:.1f} %" for name in COLUMNS[5:10]]
    return "| " + " | ".join([*cells, f"{values['peak GiB']:.2f}"]) + " |"


def describe(settings: StepSettings) -> str:
    """Returns one line: what was timed on what."""
    machine = torch.cuda.get_device_name() if settings.device.startswith("cuda") else processor()
    stride = settings.output_stride or "own"
    return (
        f"{settings.objective}, {settings.backbone} (output stride {stride}), {settings.size} "
        f"px, batch {settings.batch} × 2 views, "
        f"{settings.precision}{', compiled' if settings.compile else ''}, {machine}, "
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}; {settings.clock} "
        f"clock, medians of {settings.repetitions} repetitions"
    )


def processor() -> str:
    """Returns the processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = (
        [
            line.split(":")[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        if (info.exists())
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def parse(arguments: list[str] | None = None) -> tuple[StepSettings, list[int | None]]:
    """Returns the settings and the projector widths to time, one row each."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "example: python benchmarks/speed/step.py --backbone resnet50 --size 224 "
            "--batch 256 --hidden 4096 --precision bf16 --device cuda"
        ),
    )
    default = StepSettings()
    parser.add_argument("--backbone", default=default.backbone, help="timm name")
    parser.add_argument(
        "--output-stride", type=int, choices=(8, 16, 32), help="the network's own if left out"
    )
    parser.add_argument("--size", type=int, default=default.size, help="pixels of a view")
    parser.add_argument("--batch", type=int, default=default.batch, help="images per step")
    parser.add_argument(
        "--objective",
        default=default.objective,
        choices=("PixPro", "PixContrast", "SimCLR", "BYOL"),
    )
    parser.add_argument(
        "--hidden",
        type=int,
        nargs="+",
        default=[512, 4096],
        help="widths inside the projector, one row each",
    )
    parser.add_argument("--precision", default=default.precision, choices=tuple(DTYPES))
    parser.add_argument("--device", default=default.device)
    parser.add_argument("--compile", action="store_true", help="torch.compile on the backbones")
    parser.add_argument("--no-channels-last", dest="channels_last", action="store_false")
    parser.add_argument("--repetitions", type=int, default=default.repetitions)
    parser.add_argument(
        "--clock",
        default=default.clock,
        choices=tuple(CLOCKS),
        help="cpu: on one thread, see above",
    )
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice if left out")
    options = vars(parser.parse_args(arguments))
    widths, threads = options.pop("hidden"), options.pop("threads")
    if options["clock"] == "cpu" and options["device"] != "cpu":
        parser.error(
            "--clock cpu: counts processor seconds, which say nothing about --device "
            + options["device"]
        )
    if options["clock"] == "cpu":
        threads = 1  # waiting threads spin and would be counted
    if threads:
        torch.set_num_threads(threads)
    return StepSettings(hidden=None, **options), widths


def main(arguments: list[str] | None = None) -> None:
    """Prints a Markdown table, one row per projector width."""
    settings, widths = parse(arguments)
    print(describe(settings), end="\n\n", flush=True)
    print(f"| {' | '.join(COLUMNS)} |")
    print("|" + " --- |" * len(COLUMNS), flush=True)
    for hidden in widths:
        row = measure(StepSettings(**{**settings.__dict__, "hidden": hidden}))
        print(table_row(hidden, row), flush=True)


if __name__ == "__main__":
    main()
