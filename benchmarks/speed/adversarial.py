"""Times a training step with and without the attacked pair: what Adversarial costs around a
recipe's objective.

Every repetition runs one step (forward, backward, optimiser, moving targets; views given) of each
variant in turn. Times are medians; the ratio is the median of the ratios within a repetition, so
that a machine that gets slower or busy in between spoils few of them. Floating-point operations are
counted as in comparisons.
"""

from __future__ import annotations

import copy
import statistics
import sys
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from benchmarks.compare.budget import count_flops_per_sample, probe_batch
from benchmarks.speed import measuring
from benchmarks.speed.measuring import CLOCKS
from pretrain.command_line import Command, CommandLine, execute
from pretrain.engine.check import register_all
from pretrain.engine.efficiency import seconds
from pretrain.engine.optim import DTYPES, PrecisionOptimWrapper, build_optimizer
from pretrain.places import find_config
from pretrain.structures import Batch
from pretrain.terms import total_loss

RECIPE = "quick/clae_simclr_scenes64"
COLUMNS = ("variant", "ms/step", "time ×", "FLOPs ×")


def variants(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns named copies of a recipe: without the attack, as written, and with other sources and
    norms.

    Raises:
        ValueError: the recipe's first objective is not Adversarial.
    """
    wrapped = config["model"]["objectives"][0]
    if wrapped["type"] != "Adversarial":
        raise ValueError(
            f"objectives[0].type={wrapped['type']!r}: name a recipe whose first objective is "
            "Adversarial"
        )
    recipes = {"without": _with(config, wrapped["objective"]), "as written": _with(config, wrapped)}
    sources = ("both",) if wrapped.get("source") == "both" else ("anchor", "other", "both")
    for source in sources:
        for norm in ("second", "shared"):
            changed = {**wrapped, "source": source, "norm": norm}
            recipes[f"{source}, {norm} norms"] = _with(config, changed)
    return recipes


def _with(config: dict[str, Any], objective: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(config)
    config["model"]["objectives"][0] = copy.deepcopy(objective)
    return config


@dataclass(frozen=True)
class Options:
    """How it is measured.

    Attributes:
        batch: images per step.
        device: torch's name.
        precision: fp32, bf16 or fp16.
        clock: of ``CLOCKS``.
        repetitions: that count.
        warmup: repetitions that do not count.
    """

    batch: int = 16
    device: str = "cpu"
    precision: str = "fp32"
    clock: str = "wall"
    repetitions: int = 15
    warmup: int = 2


class Step:
    """One training step of a recipe.

    Args:
        config: the recipe.
        batch: views as they leave the workers.
        device: torch's name.
        precision: fp32, bf16, fp16.
    """

    def __init__(
        self, config: dict[str, Any], batch: Batch, *, device: str, precision: str
    ) -> None:
        torch.manual_seed(0)
        self.device = torch.device(device)
        self.model = MODELS.build(copy.deepcopy(config["model"])).to(self.device).train()
        self.batch = self.model.data_preprocessor(batch, True)["batch"]
        optimizer = build_optimizer(self.model, dict(config["optimizer"]), lr=1e-4)
        self.wrapper = PrecisionOptimWrapper(optimizer, precision, device_type=self.device.type)

    def run(self) -> None:
        """Runs it once."""
        with self.wrapper.optim_context(self.model):
            terms = self.model(self.batch)
        self.wrapper.update_params(total_loss(terms))
        self.model.after_step(0.1)


def measure(config: dict[str, Any], options: Options) -> dict[str, tuple[float, float, float]]:
    """Returns variant -> (ms per step, time ratio, FLOPs ratio), both ratios against "without"."""
    register_all()
    recipes = variants(config)
    views = probe_batch(config, options.batch)
    flops = {name: count_flops_per_sample(recipe) for name, recipe in recipes.items()}
    steps = {}
    for name, recipe in recipes.items():
        steps[name] = Step(recipe, views, device=options.device, precision=options.precision)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repetition in range(options.warmup + options.repetitions):
        for name, step in steps.items():
            taken = seconds(step.run, step.device, CLOCKS[options.clock])
            if repetition >= options.warmup:
                times[name].append(taken)
    rows = {}
    for name, taken in times.items():
        ratios = [a / b for a, b in zip(taken, times["without"], strict=True)]
        milliseconds = 1e3 * statistics.median(taken)
        rows[name] = milliseconds, statistics.median(ratios), flops[name] / flops["without"]
    return rows


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    default = Options()
    parser.add_argument(
        "config", nargs="?", default=RECIPE, help=f"a recipe with Adversarial; {RECIPE} if left out"
    )
    parser.add_argument("--batch", type=int, default=default.batch, help="images per step")
    parser.add_argument("--precision", default=default.precision, choices=tuple(DTYPES))
    parser.add_argument("--repetitions", type=int, default=default.repetitions)
    measuring.add_machine(parser)


def run(*, config: str, threads: int | None, **settings: Any) -> None:
    """Prints a Markdown table, one row per variant."""
    options = Options(**settings)
    measuring.prepare(device=options.device, clock=options.clock, threads=threads)
    print(
        f"{config}, batch {options.batch}, {options.precision}, "
        f"{measuring.machine(options.device)}, {torch.get_num_threads()} thread(s), torch "
        f"{torch.__version__}; {options.clock} clock, medians of {options.repetitions} "
        "repetitions\n"
    )
    rows = measure(Config.fromfile(find_config(config)).to_dict(), options)
    print(measuring.header(COLUMNS))
    for name, (milliseconds, ratio, flops) in rows.items():
        print(measuring.row([name, f"{milliseconds:.0f}", f"{ratio:.2f}", f"{flops:.2f}"]))


COMMAND = Command(
    description=__doc__,
    examples="example: python -m benchmarks.speed.adversarial --clock cpu",
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.adversarial",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "adversarial", sys.argv[1:]))
