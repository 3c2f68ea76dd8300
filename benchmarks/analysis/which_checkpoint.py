"""Which checkpoint: from when on in a pretraining does fine-tuning gain what it will gain?

Every checkpoint along one pretraining is fine-tuned, its start with random weights first. With the
accuracy A(s) after s images of pretraining, S in all, linear in between,

    top1_early = 100 · mean over s in [0, S] of (A(s) − A(0)) / (A(S) − A(0))

is 50 for a gain that grows evenly, and near 100 for one that is there after few images; speed_early
is the same of the optimisation speed. Neyshabur, Sedghi and Zhang, What is being transferred in
transfer learning? (NeurIPS 2020), figure 7.

Cost: a fine-tuning for each checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.analysis.fine_tunings import FineTuned, Trajectory, fine_tuned, named
from benchmarks.analysis.references import load_reference
from benchmarks.core.benchmark import Benchmark, Result, in_subject
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from benchmarks.finetune.run import evaluate
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels
from benchmarks.report.pictures.figure import looks
from benchmarks.weights.checkpoint import Checkpoint
from pretrain.engine.checkpoints import saved_steps
from pretrain.engine.hooks.saving import FINAL
from pretrain.engine.resumption import RECIPE
from pretrain.progress import Progress
from pretrain.specs import parse_spec

NAME = "which_checkpoint"


@dataclass(frozen=True)
class Settings(FineTuned):
    """Every number the result depends on, apart from data and network."""

    # files of the pretraining, or its folder; (): the folder of the network's own file
    along: tuple[str, ...] = in_subject(())
    points: int = 5  # checkpoints at most, the network's own among them, beside the start
    tuning_seed: int = in_subject(0)  # of classifier, order of images and augmentation

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points < 1:
            raise ValueError(f"points={self.points!r} must be at least 1")


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Fine-tunes from the start, from checkpoints on the way, and from the network itself.

    Raises:
        ValueError: no pretraining of ours; see :func:`course_of` and
            :func:`benchmarks.analysis.fine_tunings.fine_tuned`.
    """
    course = course_of(extractor, settings.along, settings.points)
    networks = [load_reference(extractor)]
    for _, spec in course[:-1]:
        networks.append(
            FeatureExtractor.load(spec, weights=extractor.weights, device=extractor.device)
        )
    networks.append(extractor)
    samples = [0, *(samples for samples, _ in course)]
    trajectories: list[Trajectory] = []
    for seen, network in zip(samples, networks, strict=True):
        phase = named(progress, f"{len(trajectories) + 1}/{len(networks)} after {seen} images")
        trajectories.append(
            fine_tuned(network, data, settings, seed=settings.tuning_seed, progress=phase)
        )
    top1, counts = [], {}
    for trajectory in trajectories:
        metrics, counts = evaluate(
            trajectory.classifier(), data.val, batch_size=settings.batch_size, progress=progress
        )
        top1.append(metrics["top1"].value)
    speed = [trajectory.speed for trajectory in trajectories]
    # The counts of single images are those of the last network.
    counts = dict(label=counts["label"], top1=counts["top1"])
    counts |= dict(course=dict(samples=samples, top1=top1, speed=speed))
    fingerprints = [network.fingerprint for network in networks]
    return Result(
        _metrics(samples, top1, speed),
        counts,
        dict(training_seconds=sum(trajectory.seconds for trajectory in trajectories)),
        facts=trajectories[-1].protocol,
        subject=dict(along=fingerprints, tuning_seed=settings.tuning_seed),
    )


def _metrics(
    samples: Sequence[int], top1: Sequence[float], speed: Sequence[float]
) -> dict[str, Metric]:
    values = dict(
        top1=top1[-1],
        speed=speed[-1],
        start_top1=top1[0],
        start_speed=speed[0],
        top1_early=earliness(samples, top1),
        speed_early=earliness(samples, speed),
    )
    return {name: Metric(value, "%", "higher") for name, value in values.items()}


def earliness(samples: Sequence[int], values: Sequence[float]) -> float:
    """Percent of the gain from first to last value that was there on average on the way.

    Args:
        samples: (n,) ascending. values: (n,), linear in between.

    Returns:
        NaN where the last value is not above the first: there is no gain.
    """
    gain = values[-1] - values[0]
    if gain <= 0:
        return float("nan")
    area = np.trapezoid(np.asarray(values, float) - values[0], samples)
    return float(100 * area / (gain * (samples[-1] - samples[0])))


def course_of(
    extractor: FeatureExtractor, along: Sequence[str], points: int
) -> list[tuple[int, str]]:
    """Chooses checkpoints along the pretraining of a network.

    Args:
        extractor: of a checkpoint of ours.
        along: files, or one folder; empty: the folder of the extractor's file.
        points: how many at most, evenly spread by their order, the extractor's own the last.

    Returns:
        (images seen, spec) of each, ascending, with the options of the extractor's spec.

    Raises:
        ValueError: the network, or one of the files, does not say how many images it has seen; a
            file of another pretraining, or seen after the network.
        FileNotFoundError: no such file.
    """
    own, _ = parse_spec(extractor.spec)
    if extractor.samples_seen is None or not Path(own).is_file():
        raise ValueError(
            f"{NAME}: {extractor.spec} is no checkpoint that says how many images its pretraining "
            "has shown; name one of a training of ours"
        )
    query = extractor.spec[len(own) :]
    recipe = _recipe(Checkpoint.read(own))
    found = {extractor.samples_seen: extractor.spec}
    for path in _files(along or (str(Path(own).parent),)):
        checkpoint = Checkpoint.read(path)
        samples = checkpoint.meta.get("samples_seen")
        if samples is None or _recipe(checkpoint) != recipe:
            raise ValueError(
                f"along: {path} is no checkpoint of the pretraining of {extractor.spec}; name "
                "files, or the folder, of one training"
            )
        if 0 < samples < extractor.samples_seen:
            found[samples] = f"{path}{query}"
    ordered = sorted(found.items())
    count = min(points, len(ordered))
    chosen = [len(ordered) - 1 - place * len(ordered) // count for place in range(count)]
    return [ordered[place] for place in reversed(chosen)]


def _recipe(checkpoint: Checkpoint) -> dict:
    return {key: checkpoint.config.get(key) for key in RECIPE}


def _files(along: Sequence[str]) -> list[Path]:
    """The checkpoints that files and folders name."""
    files = []
    for name in along:
        path = Path(name)
        if not path.is_dir():
            files.append(path)
            continue
        files += [file for _, file in saved_steps(path)]
        files += [path / FINAL] if (path / FINAL).is_file() else []
    return files


def _gather(sources: Sources) -> dict[str, Panels]:
    curves: dict[str, dict[str, list]] = {"top1": {}, "speed": {}}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == NAME:
                course = run.record.counts["course"]
                for name, arms in curves.items():
                    points = np.array(course["samples"], float), np.array(course[name], float)
                    arms.setdefault(arm, []).append(points)
    if not curves["top1"]:
        return {}
    panels = [
        Panel("accuracy after fine-tuning [%]", curves["top1"]),
        Panel("optimisation speed [%]", curves["speed"]),
    ]
    return {"": Panels(panels, looks(sources.arms or sources.runs))}


FIGURE = Figure(
    name=NAME,
    title="Which checkpoint",
    caption=(
        "Accuracy and optimisation speed (mean over epochs of the accuracy on training images) of "
        "fine-tunings from checkpoints along a pretraining, against the images that it had seen; "
        "0 is the network before its pretraining. Mean over seeds, the band from the lowest to the "
        "highest."
    ),
    gather=_gather,
    draw=draw_panels,
    section="results",
    form="svg",
)

BENCHMARK = Benchmark(
    name=NAME,
    about="fine-tuning from checkpoints along a pretraining",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("top1", "speed", "start_top1", "start_speed", "top1_early", "speed_early"),
    quick=dict(epochs=4, size=32, points=2),
    figures=(FIGURE,),
)
