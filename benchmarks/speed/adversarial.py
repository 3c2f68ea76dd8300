"""Times a training step with and without the attacked pair: what Adversarial costs around a
recipe's objective.

Every repetition runs one step (forward, backward, optimiser, moving targets; views given) of each
variant in turn. Times are medians; the ratio is the median of the ratios within a repetition, so
that a machine that gets slower or busy in between spoils few of them. Floating-point operations are
counted as in comparisons.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import MODELS  # noqa: E402

from benchmarks.compare.budget import count_flops_per_sample, probe_batch  # noqa: E402
from benchmarks.speed.step import CLOCKS, processor  # noqa: E402
from pretrain.engine.check import register_all  # noqa: E402
from pretrain.engine.efficiency import seconds  # noqa: E402
from pretrain.engine.optim import DTYPES, PrecisionOptimWrapper, build_optimizer  # noqa: E402
from pretrain.memory import keep_freed_memory  # noqa: E402
from pretrain.structures import Batch  # noqa: E402

RECIPE = "configs/quick/clae_simclr_scenes64.py"
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
    found = {"without": _with(config, wrapped["objective"]), "as written": _with(config, wrapped)}
    sources = ("both",) if wrapped.get("source") == "both" else ("anchor", "other", "both")
    for source in sources:
        for norm in ("second", "shared"):
            found[f"{source}, {norm} norms"] = _with(
                config, {**wrapped, "source": source, "norm": norm}
            )
    return found


def _with(config: dict[str, Any], objective: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(config)
    config["model"]["objectives"][0] = copy.deepcopy(objective)
    return config


class Step:
    """One training step of a recipe.

    Args:
        config: the recipe. batch: views as they leave the workers. device: torch's name. precision:
            fp32, bf16, fp16.
    """

    def __init__(self, config: dict[str, Any], batch: Batch, device: str, precision: str) -> None:
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
        self.wrapper.update_params(sum(value for name, value in terms.items() if "loss" in name))
        self.model.update_targets(0.1)


def measure(
    config: dict[str, Any],
    *,
    batch: int,
    device: str,
    precision: str,
    clock: str,
    repetitions: int,
    warmup: int = 2,
) -> dict[str, tuple[float, float, float]]:
    """Returns variant -> (ms per step, time ratio, FLOPs ratio), both ratios against "without"."""
    register_all()
    if device == "cpu":
        keep_freed_memory()  # as the engine does
    recipes = variants(config)
    views = probe_batch(config, batch)
    flops = {name: count_flops_per_sample(recipe) for name, recipe in recipes.items()}
    steps = {name: Step(recipe, views, device, precision) for name, recipe in recipes.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repetition in range(warmup + repetitions):
        for name, step in steps.items():
            taken = seconds(step.run, step.device, CLOCKS[clock])
            if repetition >= warmup:
                times[name].append(taken)
    median, bare = statistics.median, times["without"]
    return {
        name: (
            1e3 * median(taken),
            median(a / b for a, b in zip(taken, bare, strict=True)),
            flops[name] / flops["without"],
        )
        for name, taken in times.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints a Markdown table, one row per variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "config", nargs="?", default=RECIPE, help=f"a recipe with Adversarial; {RECIPE} if left out"
    )
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=tuple(DTYPES))
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument(
        "--clock", default="wall", choices=tuple(CLOCKS), help="cpu: one thread, for a busy machine"
    )
    options = vars(parser.parse_args(arguments))
    path = options.pop("config")
    if options["clock"] == "cpu":
        torch.set_num_threads(1)  # waiting threads spin and would be counted
    machine = processor() if options["device"] == "cpu" else torch.cuda.get_device_name()
    print(
        f"{path}, batch {options['batch']}, {options['precision']}, {machine}, "
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}; {options['clock']} "
        f"clock, medians of {options['repetitions']} repetitions\n"
    )
    rows = measure(Config.fromfile(path).to_dict(), **options)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for name, (milliseconds, ratio, flops) in rows.items():
        print(f"| {name} | {milliseconds:.0f} | {ratio:.2f} | {flops:.2f} |")


if __name__ == "__main__":
    main()
