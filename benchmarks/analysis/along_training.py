"""Along training: does the dense structure of checkpoints, measured without labels, pick the best?

Of every checkpoint of one pretraining, the network before it among them: the parts of DSE
(:mod:`benchmarks.analysis.dense_structure`, on val images whose labels are not read) and the dense
quality by retrieval. DSE weighs its parts over the checkpoints of this run
(:func:`pretrain.hooks.dense_structure.estimate`); its highest is the pick.

- ``tau``: Kendall's τ of DSE with the quality; ``tau_…``: of single parts, of two ranks, and of
  the number of images seen, which any measure has to beat: it is what "the last is best" assumes.
- ``regret``: what the pick lies below the best checkpoint, in the quality's unit; ``three_regret``:
  the best of the three highest local maxima; ``last_regret``: the last checkpoint;
  ``chance_regret``: a checkpoint drawn by lot. ``gain``: what the pick lies above the last one.

What is known already is read, see :mod:`benchmarks.analysis.checkpoints`; where
``EvaluationHook`` measured both during training under these settings, no checkpoint need be there
but the given one. Cost: for each checkpoint, its dense structure and its retrieval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from benchmarks.analysis import dense_structure
from benchmarks.analysis.along_training_figure import FIGURE
from benchmarks.analysis.checkpoints import Course, Measurement
from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record
from benchmarks.core.scores import SEGMENTATION_METRICS
from benchmarks.core.selection import LEAST, agreement, judge_pick, kendall
from benchmarks.data import SegmentationFolder
from benchmarks.frozen import retrieval
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.bootstrap import bootstrap_difference
from pretrain.hooks.dense_structure import candidates, estimate
from pretrain.names import check_choice
from pretrain.progress import Progress

PARTS = ("class_part", "inter", "intra", "dimension", "cell_rank", "rank_me")
_REGRETS = ("regret", "gain", "three_regret", "last_regret", "chance_regret")
_TAUS = ("tau", "tau_class_part", "tau_dimension", "tau_cell_rank", "tau_rank_me", "tau_samples")


@dataclass(frozen=True)
class Settings(dense_structure.Settings):
    """Every number the result depends on, apart from data and network; those of the structure, and
    of the retrieval that it is compared with, on images of the same size.
    """

    quality: str = "mIoU"  # of retrieval: mIoU or pixel_accuracy
    neighbours: int = 30  # of retrieval, as there
    temperature: float = 0.02  # of retrieval, as there
    memory_size: int | None = 102_400  # of retrieval, in one pass without augmentation
    start: bool = True  # whether the network before its training is a checkpoint, too
    # file of what was measured of checkpoints; None: along_training.jsonl beside them
    written: str | None = speed_only(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("quality", self.quality, SEGMENTATION_METRICS)
        self.of_retrieval()

    def of_structure(self) -> dense_structure.Settings:
        """What :mod:`benchmarks.analysis.dense_structure` is run with."""
        names = [setting.name for setting in fields(dense_structure.Settings)]
        return dense_structure.Settings(**{name: getattr(self, name) for name in names})

    def of_retrieval(self) -> retrieval.Settings:
        """What retrieval is run with."""
        return retrieval.Settings(
            size=self.size,
            neighbours=self.neighbours,
            temperature=self.temperature,
            memory_size=self.memory_size,
            passes=1,
            augment=False,
        )


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Judges the pick of one run, of which ``extractor`` is any checkpoint, best its last.

    Raises:
        ValueError: no checkpoint of a training of ours, fewer than three checkpoints, one that no
            longer says how it began (``start=False`` does without); as the two benchmarks.
    """
    course = Course(extractor, start=settings.start, written=settings.written).measured(
        dict(
            structure=Measurement(dense_structure.BENCHMARK, data, settings.of_structure()),
            quality=Measurement(retrieval.BENCHMARK, data, settings.of_retrieval()),
        ),
        progress,
    )
    if len(course) < LEAST:
        raise ValueError(
            f"{extractor.spec}: {len(course)} checkpoints are known, at least {LEAST} are needed; "
            "train with a larger engine.keep_checkpoints, or measure during training with "
            "EvaluationHook under these very settings"
        )
    facts = dict(stride=extractor.stride)
    return Result(*judge(course, settings.quality), facts=facts)


def judge(
    course: dict[int, dict[str, Record]], quality: str
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Metrics and counts of one run, from records alone.

    Args:
        course: images seen -> ``structure`` and ``quality``, the record of each, in order.
        quality: metric of the latter.
    """
    records = list(course.values())
    values = [record["quality"].metrics[quality].value for record in records]
    unit = records[0]["quality"].metrics[quality].unit
    columns: dict[str, list[float]] = dict(samples=list(course), quality=values)
    for part in PARTS:
        columns[part] = [record["structure"].metrics[part].value for record in records]
    columns["dse"] = estimate(columns["class_part"], columns["dimension"]).tolist()
    proposed = candidates(columns["dse"])
    choice = judge_pick(proposed[0], values)
    agreed = agreement(columns["dse"], values)
    three = values[choice.best] - max(values[place] for place in proposed)
    regrets = (choice.regret, choice.gain, three, choice.last_regret, choice.chance_regret)
    metrics = dict(tau=Metric(agreed.tau, "1", "higher"))
    for name, value in zip(_REGRETS, regrets, strict=True):
        metrics[name] = Metric(value, unit, "higher" if name == "gain" else "lower")
    for name in _TAUS[1:]:
        own_tau = kendall(columns[name.removeprefix("tau_")], values)
        metrics[name] = Metric(own_tau, "1", "higher")
    counts = dict(
        checkpoints=columns,
        pick=columns["samples"][choice.pick],
        best=columns["samples"][choice.best],
        candidates=[columns["samples"][place] for place in proposed],
        tau_interval=[agreed.low, agreed.high],
        tau_p=agreed.p,
        gain_over_images=_over_images([records[choice.pick], records[-1]], quality),
    )
    return metrics, counts


def _over_images(records: Sequence[dict[str, Record]], quality: str) -> list[float] | None:
    """The difference of two checkpoints' quality, and ± its 95 % interval over images; None where
    the records do not keep enough.
    """
    rows = []
    for number, record in enumerate(records):
        rows.append(Sample(str(number), quality, (Run(record["quality"]),)))
    difference = bootstrap_difference(*rows)
    return None if difference is None else [difference.mean, difference.half]


BENCHMARK = Benchmark(
    name="along_training",
    about="whether dense structure picks the best checkpoint of a training",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=(_TAUS[0], *_REGRETS, *_TAUS[1:]),
    quick=dict(size=(128, 128), images=128),
    figures=(FIGURE,),
)
