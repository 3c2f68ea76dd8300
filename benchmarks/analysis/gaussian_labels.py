"""Random labels of Gaussian inputs: does the first layer align with them, and does f(σ) rise and
fall?

A small ReLU network without biases learns by heart random labels of inputs x ~ N(0, diag(σ²)). Its
first layer begins isotropic, f(σ) the same for every σ. Measured are f(σ) after training as a
multiple of that before, and the misalignment of the layer in the inputs' own basis beside that in
random ones. The case with a known answer behind the benchmark ``alignment``.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.command_line import Command, CommandLine, execute

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.core.record import Record

EXAMPLES = """examples:
  python -m benchmarks.analysis.gaussian_labels                                 # seconds
  python -m benchmarks.analysis.gaussian_labels --case wide --seeds 0 1 2       # minutes
  python -m benchmarks.analysis.gaussian_labels --figure random_labels.svg
  python -m benchmarks.analysis.gaussian_labels --seeds 0 1 2 3 4 5 6 7 --out records.jsonl"""


@dataclass(frozen=True)
class Case:
    """Inputs, network and training.

    Attributes:
        deviations: σ of each input dimension, the smallest first.
        points: inputs, each with one random label.
        hidden: units of the hidden layers.
        lr: of plain SGD. batch: inputs per step. epochs: passes over all inputs.
        classes: labels. bases: random bases of the control.
    """

    deviations: tuple[float, ...]
    points: int
    hidden: tuple[int, ...]
    lr: float
    batch: int
    epochs: int
    classes: int = 10
    bases: int = 20


@dataclass(frozen=True)
class Outcome:
    """What one training did to the first layer.

    Attributes:
        accuracy: share of the labels that were learnt.
        gains: f(σ) after training over f(σ) before, in the order of the case's deviations.
        misalignment: in the inputs' own basis.
        random_basis: the mean over random bases.
    """

    accuracy: float
    gains: tuple[float, ...]
    misalignment: float
    random_basis: float


CASES = {
    "small": Case(tuple(n / 5 for n in range(1, 11)), 512, (256, 64), 0.1, batch=64, epochs=150),
    "wide": Case(
        tuple(n / 10 for n in range(1, 31)), 2000, (256, 256), 0.05, batch=128, epochs=200
    ),
}


def fit(case: Case, seed: int) -> Outcome:
    """Trains one network; everything is drawn from a generator of its own.

    Cost: ``small`` takes 2 s, ``wide`` 20 s on one core.
    """
    import torch
    from torch.nn import functional as F

    from benchmarks.analysis.misalignment import (
        Eigenspaces,
        covariance,
        misalignment,
        random_misalignments,
        transfer,
    )

    generator = torch.Generator().manual_seed(seed)
    deviations = torch.tensor(case.deviations)
    inputs = torch.randn(case.points, len(deviations), generator=generator) * deviations
    labels = torch.randint(0, case.classes, (case.points,), generator=generator)
    weights = []
    widths = (len(deviations), *case.hidden, case.classes)
    for fan_in, fan_out in itertools.pairwise(widths):
        weight = torch.randn(fan_out, fan_in, generator=generator) / fan_in**0.5
        weights.append(weight.requires_grad_())
    before = covariance(weights[0].detach())
    for _ in range(case.epochs):
        for chosen in torch.randperm(case.points, generator=generator).split(case.batch):
            loss = F.cross_entropy(_logits(weights, inputs[chosen]), labels[chosen])
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= case.lr * gradient
    right = _logits(weights, inputs).argmax(1) == labels
    after = covariance(weights[0].detach())
    # The inputs' true covariance is diagonal: its basis are the axes.
    axes = Eigenspaces(
        deviations.double().square(), torch.eye(len(deviations)).double(), (1,) * len(deviations)
    )
    control = random_misalignments(axes, after, bases=case.bases, seed=seed)
    return Outcome(
        accuracy=right.double().mean().item(),
        gains=tuple((transfer(axes, after) / transfer(axes, before)).tolist()),
        misalignment=misalignment(axes, after),
        random_basis=statistics.fmean(control),
    )


def _logits(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """(B, C) of inputs (B, d): ReLU between the layers."""
    *hidden, last = weights
    for weight in hidden:
        inputs = (inputs @ weight.T).relu()
    return inputs @ last.T


def mean_gains(outcomes: Sequence[Outcome]) -> tuple[float, ...]:
    """The mean over seeds of each f(σ) as a multiple of that before training."""
    columns = zip(*(outcome.gains for outcome in outcomes), strict=True)
    return tuple(map(statistics.fmean, columns))


def record(name: str, seed: int, outcome: Outcome) -> Record:
    """What is kept of a training.

    ``rise`` is f in the middle fifth of the dimensions, as a multiple of f before, less that in the
    first fifth, that of the smallest σ; ``fall`` is the middle less the last fifth. The places are
    fixed beforehand: the highest of all would lie above both ends by chance.

    Args:
        name: of the case.
        seed: of the training.
        outcome: of the training.
    """
    from benchmarks.core.record import Metric, Record, versions

    case, gains = CASES[name], outcome.gains
    fifth, middle = len(gains) // 5, len(gains) // 2
    first, last = statistics.fmean(gains[:fifth]), statistics.fmean(gains[-fifth:])
    half = max(1, fifth // 2)
    centre = statistics.fmean(gains[middle - half : middle + half])
    metrics = dict(
        misalignment=Metric(outcome.misalignment, "1", "lower"),
        random_basis=Metric(outcome.random_basis, "1", "lower"),
        rise=Metric(centre - first, "1", "higher"),
        fall=Metric(centre - last, "1", "higher"),
        labels_learnt=Metric(100 * outcome.accuracy, "%", "higher"),
    )
    trial = dict(arm=name, seed=seed, benchmark="gaussian_labels")
    subject = dict(spec=f"gaussian_labels {name}", backbone=dict(hidden=case.hidden), trial=trial)
    protocol = json.loads(json.dumps(asdict(case)))  # lists, as it will be read back
    counts = dict(gains=list(gains))
    kept = dict(counts=counts, subject=subject, versions=versions("cpu"))
    return Record("gaussian_labels", metrics, protocol, **kept)


def draw(case: Case, outcomes: Mapping[int, Outcome], path: str | Path) -> Path:
    """Draws f(σ) and the misalignments.

    Args:
        case: what was trained.
        outcomes: seed -> its outcome.
        path: PNG or SVG to write.
    """
    from benchmarks.report.pictures.figure import (
        COLOURS,
        INK,
        MARKERS,
        new_figure,
        plain_axes,
        save_figure,
    )

    figure = new_figure(7.4, 2.9)
    curve, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    plain_axes(curve, title="f(σ) after / before", x="σ of the inputs")
    for outcome in outcomes.values():
        curve.plot(case.deviations, outcome.gains, color=COLOURS[0], linewidth=0.8, alpha=0.35)
    mean = mean_gains(list(outcomes.values()))
    curve.plot(case.deviations, mean, color=COLOURS[0], linewidth=1.8, marker="o", markersize=4)
    curve.axhline(1, color=INK, linewidth=0.8, linestyle=":")
    plain_axes(bars, title="misalignment after training", x="seed")
    own = [outcome.misalignment for outcome in outcomes.values()]
    control = [outcome.random_basis for outcome in outcomes.values()]
    places = range(len(outcomes))
    for values, place, label in ((own, 0, "inputs' basis"), (control, 1, "random basis")):
        look = dict(color=COLOURS[place], marker=MARKERS[place], linestyle="none", label=label)
        bars.plot(places, values, **look)
    bars.set_xticks(places, list(map(str, outcomes)))
    bars.set_xlim(-0.5, len(outcomes) - 0.5)
    bars.set_ylim(0, 1.25 * max(own + control))
    bars.legend(fontsize=8, frameon=False, labelcolor=INK, loc="lower right")
    return save_figure(figure, path)


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "--case",
        default="small",
        choices=tuple(CASES),
        help="small: 10 dimensions; wide: 30 (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--figure", metavar="FILE", help="PNG or SVG to draw")
    parser.add_argument("--out", metavar="FILE", help="file to which a record per seed is appended")


def run(*, case: str, seeds: Sequence[int], figure: str | None, out: str | None) -> None:
    """Prints a Markdown table with a row per seed, then the mean f(σ)."""
    from pretrain.files import require_writable

    if figure is not None:
        require_writable(Path(figure), "--figure")
    if out is not None:
        require_writable(Path(out), "--out")
    print("| seed | labels learnt | misalignment | random basis |\n| --- | --- | --- | --- |")
    outcomes = {}
    for seed in seeds:
        outcome = outcomes[seed] = fit(CASES[case], seed)
        cells = (outcome.accuracy, outcome.misalignment, outcome.random_basis)
        print(f"| {seed} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)
        if out is not None:
            record(case, seed, outcome).append(out)
    print("\nf(σ) after / before, mean over seeds:")
    for deviation, gain in zip(
        CASES[case].deviations, mean_gains(list(outcomes.values())), strict=True
    ):
        print(f"  σ = {deviation:.1f}: {gain:.3f}")
    lower = sum(outcome.misalignment < outcome.random_basis for outcome in outcomes.values())
    print(f"misalignment below that in a random basis: {lower} of {len(outcomes)} seeds")
    if figure is not None:
        print(draw(CASES[case], outcomes, figure))


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.analysis.gaussian_labels",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "gaussian-labels", sys.argv[1:]))
