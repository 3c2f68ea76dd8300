"""Times one training step against the bare backbone passes it needs, and shows where the rest goes.

The step is the real one: Pretrainer, photometrics on the device, optimiser, moving targets. Each
repetition runs one step, its bare passes alone, and the heads with the loss alone; the printed
values are medians over repetitions, the efficiency is the median of the ratios within a repetition,
so that a machine that gets slower or busy in between spoils few of them. On a machine that others
use at the same time wall clock says little: ``--clock cpu`` counts the processor seconds of this
process, on one thread.
"""

from __future__ import annotations

import inspect
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from benchmarks.speed import measuring
from benchmarks.speed.measuring import CLOCKS
from pretrain.backbones.timm_backbone import Features
from pretrain.command_line import Command, CommandLine, execute
from pretrain.encodings import BatchEncodings
from pretrain.engine.check import register_all
from pretrain.engine.efficiency import BarePasses, seconds, synchronise
from pretrain.engine.optim import DTYPES, PrecisionOptimWrapper, build_optimizer
from pretrain.hooks.throughput import peak_memory
from pretrain.places import find_config
from pretrain.random_state import undisturbed_random
from pretrain.structures import Batch, collate
from pretrain.terms import total_loss
from pretrain.views.recipe import ViewRecipe

# Photometrics of this recipe, the papers' own, at the size asked for.
RECIPE = "_base_/views_pixpro224"
#: What can be timed, by the name on the command line.
OBJECTIVES: dict[str, dict[str, Any]] = {
    **{name: dict(type=name) for name in ("PixPro", "PixContrast", "SimCLR", "BYOL", "DINO")},
    "IBOT": dict(type="IBOT"),
    "IBOT++": dict(type="IBOT", visible_weight=1.0),
}
OPTIMIZERS = {
    "Lars": (dict(type="Lars", momentum=0.9, weight_decay=1e-5), 0.1),
    "AdamW": (dict(type="AdamW", weight_decay=0.05), 1e-3),
}
HELD = 1.0  # epochs that are done, as many as prototypes are held by default
#: Share of the source's area that a local view shows, as in DINOv2.
LOCAL_SCALE = (0.05, 0.32)
EXAMPLES = """examples:
  python -m benchmarks.speed.step --backbone resnet50 --size 224 --batch 256 --hidden 4096 \\
      --precision bf16 --device cuda
  python -m benchmarks.speed.step --backbone vit_small_patch16_224 --size 224 --batch 8 \\
      --objective DINO --local 8 --hidden 2048 --optimizer AdamW"""
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
SHARES = ("step efficiency", "photometrics", "heads + loss", "optimiser", "EMA")


@dataclass(frozen=True)
class StepSettings:
    """What is timed."""

    backbone: str = "resnet18"  # timm name
    output_stride: int | None = None  # 32, 16 or 8; None = the network's own
    size: int = 96  # pixels of a view
    batch: int = 64  # images per step, each with two views
    objective: str = "PixPro"  # one of OBJECTIVES
    prototypes: int | None = None  # of its head; None = the objective's own, or it has none
    local: int = 0  # small views of each image beside the two large ones
    local_size: int | None = None  # pixels; None = near 3/7 of ``size``, in whole patches of 16
    hidden: int | None = 512  # width inside projectors; None = the objective's own
    optimizer: str = "Lars"  # or "AdamW"
    precision: str = "fp32"  # fp32, bf16 or fp16
    device: str = "cpu"  # torch's name
    channels_last: bool = True  # memory layout, as the engine's default
    compile: bool = False  # torch.compile on the backbones
    clock: str = "wall"  # or "cpu": processor seconds of this process, on one thread
    warmup: int = 2  # repetitions that do not count
    repetitions: int = 7  # repetitions that count

    @property
    def side(self) -> int:
        """Pixels of a local view: 96 beside 224, as in the papers."""
        return self.local_size or max(16, 16 * round(3 * self.size / 7 / 16))


def example_batch(size: int, count: int, *, local: int = 0, local_size: int = 96) -> Batch:
    """Returns a batch of ``count`` noise images as it leaves the workers: uint8 views, photometrics
    still to apply.

    Args:
        size, local_size: of views, in pixels. count: of images. local: of small views.
    """
    groups = Config.fromfile(find_config(RECIPE)).views.groups.to_dict()
    for view in groups["global"]:
        view["size"] = size
    if local:
        small = dict(groups["global"][0], size=local_size, scale=LOCAL_SCALE)
        groups["local"] = [small] * local
    recipe = ViewRecipe(groups)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    samples = []
    for index in range(count):
        views = recipe.render(image, recipe.plan(*image.shape[:2], rng))
        samples.append(Batch(views, None, torch.tensor(index)))
    return collate(samples)


def _model(settings: StepSettings) -> dict[str, Any]:
    """The config of the model that is timed.

    Raises:
        ValueError: prototypes or local views for an objective that has no use for them.
    """
    objective = dict(OBJECTIVES[settings.objective])
    kind = MODELS.get(objective["type"])
    if settings.local and "local" not in kind.needs.may_read:
        raise ValueError(f"local={settings.local}: {settings.objective} reads no local views")
    if settings.prototypes is not None:
        if "prototypes" not in inspect.signature(kind).parameters:
            raise ValueError(
                f"prototypes={settings.prototypes}: {settings.objective} has no prototypes"
            )
        objective["prototypes"] = settings.prototypes
    if settings.hidden is not None:
        objective["hidden"] = settings.hidden
    backbone = dict(
        type="TimmBackbone", name=settings.backbone, output_stride=settings.output_stride
    )
    preprocessor = dict(type="ViewPreprocessor", channels_last=settings.channels_last)
    return dict(
        type="Pretrainer",
        backbone=backbone,
        objectives=[objective],
        data_preprocessor=preprocessor,
    )


class GivenEncodings:
    """Encodings computed beforehand: what is left of an objective is heads and loss.

    Args:
        online: group -> features of its views; leaves of the graph. target: likewise, without
            gradient.
        masks: encodings that draw the cells to hide.
    """

    progress, epoch = 0.0, HELD

    def __init__(
        self,
        online: dict[str, list[Features]],
        target: dict[str, list[Features]],
        masks: BatchEncodings,
    ) -> None:
        self._online, self._target = online, target
        self.mask, self.hidden_cells = masks.mask, masks.hidden_cells

    def online(
        self, group: str, images: Tensor | None = None, *, mask: Tensor | None = None
    ) -> list[Features]:
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
        self.model = MODELS.build(_model(settings)).to(self.device)
        if settings.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model.train()
        self.model.epoch = HELD
        if settings.compile:
            for part in (self.model.backbone, self.model.target_backbone):
                if part is not None:
                    part.compile()
        options, rate = OPTIMIZERS[settings.optimizer]
        optimizer = build_optimizer(self.model, dict(options), lr=rate)
        self.wrapper = PrecisionOptimWrapper(
            optimizer, settings.precision, device_type=self.device.type
        )
        self.batch = example_batch(
            settings.size, settings.batch, local=settings.local, local_size=settings.side
        )
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
            self.wrapper.backward(total_loss(terms))

        def update() -> None:
            self.wrapper.step()
            self.wrapper.zero_grad()

        parts["photometrics"] = seconds(prepare, self.device, self.clock)
        parts["forward, backward"] = seconds(learn, self.device, self.clock)
        parts["optimiser"] = seconds(update, self.device, self.clock)
        parts["EMA"] = seconds(lambda: model.after_step(0.1), self.device, self.clock)
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
            target = {g: list(map(self.model.backbone, views)) for g, views in images.items()}
            online = {g: list(map(_as_leaves, features)) for g, features in target.items()}

        def run() -> None:
            with self.wrapper.optim_context(self.model):
                masks = BatchEncodings(batch, self.model.backbone, None, masking=self.model.masking)
                given = GivenEncodings(online, target, masks)
                terms = self.model.objectives[0](batch, given)
            total_loss(terms).backward()

        with undisturbed_random(self.device):
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
    step = Step(settings)
    if step.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(step.device)
    step.run()
    synchronise(step.device)
    peak = peak_memory(step.device)  # before the copies are made
    bare = step.bare()
    runs, rows = [], []
    for repetition in range(settings.warmup + settings.repetitions):
        parts = step.run()
        alone = sum(bare.measure(step.clock).values())
        heads = step.heads()
        if repetition >= settings.warmup:
            runs.append(parts)
            rows.append((parts["step"], alone, heads))
    steps, alone, heads = map(np.array, zip(*rows, strict=True))
    result = {
        "images/s": settings.batch / _median(steps),
        "ms/step": 1e3 * _median(steps),
        "ms bare": 1e3 * _median(alone),
        "step efficiency": _median(alone / steps),
        "heads + loss": _median(heads / steps),
        "peak GiB": peak,
    }
    for name in ("photometrics", "optimiser", "EMA"):
        result[name] = _median(np.array([parts[name] for parts in runs]) / steps)
    return result | {"rest": 1 - sum(result[name] for name in SHARES)}


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def table_row(hidden: int | None, values: dict[str, float]) -> str:
    """Returns one Markdown row in the order of ``COLUMNS``."""
    cells = ["own" if hidden is None else str(hidden)]
    cells += [f"{values['images/s']:.1f}", f"{values['ms/step']:.0f}", f"{values['ms bare']:.0f}"]
    cells += [f"{values['step efficiency']:.3f}"]
    cells += [f"{100 * values[name]:.1f} %" for name in COLUMNS[5:10]]
    return measuring.row([*cells, f"{values['peak GiB']:.2f}"])


def describe(settings: StepSettings) -> str:
    """Returns one line: what was timed on what."""
    stride = settings.output_stride or "own"
    compiled = ", compiled" if settings.compile else ""
    local = f" and {settings.local} of {settings.side} px" if settings.local else ""
    prototypes = "" if settings.prototypes is None else f", {settings.prototypes} prototypes"
    return (
        f"{settings.objective}{prototypes}, {settings.backbone} (output stride {stride}), "
        f"{settings.size} px, batch {settings.batch} × 2 views{local}, {settings.optimizer}, "
        f"{settings.precision}{compiled}, "
        f"{measuring.machine(settings.device)}, {torch.get_num_threads()} thread(s), "
        f"torch {torch.__version__}; {settings.clock} clock, medians of "
        f"{settings.repetitions} repetitions"
    )


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
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
        choices=tuple(OBJECTIVES),
        help="IBOT and IBOT++ hide cells, so they need a ViT",
    )
    parser.add_argument("--prototypes", type=int, help="the objective's own if left out")
    parser.add_argument(
        "--local", type=int, default=default.local, help="small views of each image, for DINO"
    )
    parser.add_argument(
        "--local-size", type=int, help="their pixels; near 3/7 of --size if left out"
    )
    parser.add_argument("--optimizer", default=default.optimizer, choices=tuple(OPTIMIZERS))
    parser.add_argument(
        "--hidden",
        type=int,
        nargs="+",
        default=[512, 4096],
        help="widths inside projectors and heads, one row each",
    )
    parser.add_argument("--precision", default=default.precision, choices=tuple(DTYPES))
    parser.add_argument("--compile", action="store_true", help="torch.compile on the backbones")
    parser.add_argument("--no-channels-last", dest="channels_last", action="store_false")
    parser.add_argument("--repetitions", type=int, default=default.repetitions)
    measuring.add_machine(parser)


def run(*, hidden: Sequence[int | None], threads: int | None, **settings: Any) -> None:
    """Prints a Markdown table, one row per projector width."""
    common = StepSettings(**settings)
    measuring.prepare(device=common.device, clock=common.clock, threads=threads)
    print(describe(common), end="\n\n", flush=True)
    print(measuring.header(COLUMNS), flush=True)
    for width in hidden:
        print(table_row(width, measure(replace(common, hidden=width))), flush=True)


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.step",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "step", sys.argv[1:]))
