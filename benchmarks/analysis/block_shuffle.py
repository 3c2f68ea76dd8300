"""Block shuffle: what does pretraining still gain when the images' structure is gone?

Every image is cut into blocks, which one permutation moves, the same for all images of train and
validation part. A copy of the network and the same architecture with random weights are fine-tuned
on them. With their accuracies A and A_r on shuffled validation images

    relative_drop = 100 · (A − A_r) / A

is the share of the accuracy that is owed to pretraining, and the optimisation speed is the mean
over epochs of the accuracy on training images, in eval mode. Small blocks leave low-level
statistics alone: a gain that remains is no knowledge of shapes. Neyshabur, Sedghi and Zhang, What
is being transferred in transfer learning? (NeurIPS 2020), figure 3; what they did and we saw is in
docs/analyses/block_shuffle.md.

Cost: two fine-tunings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.analysis.block_shuffle_figure import FIGURE
from benchmarks.analysis.fine_tunings import FineTuned, Trajectory, fine_tuned, named, random_start
from benchmarks.core.benchmark import Benchmark, Result, in_subject
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from benchmarks.finetune.run import evaluate
from benchmarks.finetune.shuffle import blocks_per_side
from benchmarks.frozen.baselines import largest_classes
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings(FineTuned):
    """Every number the result depends on, apart from data and network."""

    recipe: str = "analysis_centred"  # without augmentation: see there
    # side of the blocks in pixels, a divisor of the input's side, which itself shuffles nothing;
    # "*" moves every single value, across channels
    block: int | Literal["*"] = 8
    # of classifier, order of images, permutation and the random start
    tuning_seed: int = in_subject(0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block != "*" and self.size is not None:
            blocks_per_side(self.size, self.block)


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures accuracy and speed of the network and of a random start on shuffled images.

    Raises:
        ConfigError, ValueError: see :func:`benchmarks.analysis.fine_tunings.fine_tuned`; blocks
            that do not fill the images.
    """
    seed = settings.tuning_seed
    tune = partial(
        fine_tuned,
        data=data,
        settings=settings,
        seed=seed,
        inputs=dict(type="BlockShuffle", block=settings.block),
    )
    own = tune(extractor, progress=named(progress, "pretrained"))
    random = tune(random_start(extractor, number=seed), progress=named(progress, "random start"))
    metrics, counts = _measure(own, data, settings, progress=named(progress, "pretrained"))
    others, their_counts = _measure(
        random, data, settings, progress=named(progress, "random start")
    )
    drop = relative_drop(metrics["top1"].value, others["top1"].value)
    metrics |= {f"random_{name}": metric for name, metric in others.items()}
    metrics |= dict(relative_drop=Metric(drop, "%", "higher"))
    counts |= dict(
        random_top1=their_counts["top1"],
        curve=list(own.curve),
        random_curve=list(random.curve),
        moved=own.classifier().inputs.moved,
        largest_class=largest_classes(data)[0]["top1"].value,
    )
    cost = dict(training_seconds=own.seconds + random.seconds)
    return Result(metrics, counts, cost, facts=own.protocol, subject=dict(tuning_seed=seed))


def relative_drop(pretrained: float, random: float) -> float:
    """100 · (pretrained − random) / pretrained in percent; NaN where ``pretrained`` is 0."""
    return 100 * (pretrained - random) / pretrained if pretrained else float("nan")


def _measure(
    trajectory: Trajectory, data: ClassFolder, settings: Settings, *, progress: Progress | None
) -> tuple[dict[str, Metric], dict]:
    """Accuracy of the last weights on the validation part, and speed."""
    metrics, counts = evaluate(
        trajectory.classifier(), data.val, batch_size=settings.batch_size, progress=progress
    )
    speed = Metric(trajectory.speed, "%", "higher")
    return dict(top1=metrics["top1"], speed=speed), dict(label=counts["label"], top1=counts["top1"])


BENCHMARK = Benchmark(
    name="block_shuffle",
    about="gain from pretraining on images whose blocks are shuffled",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("relative_drop", "top1", "speed", "random_top1", "random_speed"),
    quick=dict(epochs=4, size=32),
    figures=(FIGURE,),
)
