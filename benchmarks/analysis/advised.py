"""What following the advice is worth: dense quality of the checkpoint that dense structure chose.

``DenseStructureHook`` left the parts of DSE of every checkpoint beside them, and
:func:`pretrain.hooks.structure_advice.advise` says which one it advises. Retrieval, which reads
labels, judges that checkpoint, the one of the highest DSE, which the advice does not always follow,
and the network itself, the last one:

- ``gain``, ``highest_gain``: what the advised checkpoint, and that of the highest DSE, lie above
  the last one, in the quality's unit;
- ``advised``, ``highest``, ``last``: the three qualities;
- ``cosine_to_start``: mean cosine of the last one's cells to those of the start, by the hook.

A network that was never trained is its own last checkpoint. Cost: up to three retrievals; with all
checkpoints in place of two, see :mod:`benchmarks.analysis.along_training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.analysis.along_training import over_images
from benchmarks.analysis.checkpoints import Measurement
from benchmarks.analysis.references import load_reference
from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record
from benchmarks.core.scores import SEGMENTATION_METRICS
from benchmarks.data import SegmentationFolder
from benchmarks.frozen import retrieval
from pretrain.engine.checkpoints import saved_steps
from pretrain.hooks.structure_advice import Advice, advise
from pretrain.hooks.structure_course import RANDOM, read_course
from pretrain.names import check_choice
from pretrain.progress import Progress
from pretrain.specs import parse_spec


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and networks; those of retrieval."""

    size: tuple[int, int] = (224, 224)  # (H, W) input in pixels, aspect ratio not kept
    quality: str = "mIoU"  # of retrieval: mIoU or pixel_accuracy
    neighbours: int = 30  # of retrieval, as there
    temperature: float = 0.02  # of retrieval, as there
    memory_size: int | None = 102_400  # of retrieval, in one pass without augmentation

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        check_choice("quality", self.quality, SEGMENTATION_METRICS)
        self.of_retrieval()

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
    """Judges the advice of one training, of which ``extractor`` is the last checkpoint.

    Raises:
        ValueError: a trained network without what ``DenseStructureHook`` leaves; as retrieval.
    """
    advice = _advice(extractor)
    steps = _steps(advice)
    measurement = Measurement(retrieval.BENCHMARK, data, settings.of_retrieval())
    records: dict[int, Record] = {}
    for done, step in enumerate(dict.fromkeys(steps.values()), start=1):
        network = extractor if step == steps["last"] else _network(extractor, step)
        records[step] = measurement.measure(network)
        if progress:
            progress("checkpoints", done, len(set(steps.values())))
    scores = {name: records[step].metrics[settings.quality] for name, step in steps.items()}
    last = scores["last"]
    metrics = {}
    counts: dict[str, Any] = dict(steps=steps)
    for name, gain in (("advised", "gain"), ("highest", "highest_gain")):
        metrics[gain] = Metric(scores[name].value - last.value, last.unit, "higher")
        pair = [records[steps[name]], records[steps["last"]]]
        counts[f"{gain}_over_images"] = over_images(pair, settings.quality)
    metrics |= scores
    if advice is not None:
        counts |= dict(strength=advice.strength, doubts=advice.doubts, overruled=advice.overruled)
        if advice.looks[-1].cosine is not None:
            metrics["cosine_to_start"] = Metric(advice.looks[-1].cosine, "1", "higher")
    return Result(metrics, counts, facts=dict(stride=extractor.stride))


def _steps(advice: Advice | None) -> dict[str, int]:
    """Steps of the three checkpoints; all are the same where nothing was trained."""
    if advice is None:
        return dict(advised=0, highest=0, last=0)
    return dict(
        advised=advice.look.step,
        highest=advice.looks[advice.highest].step,
        last=advice.looks[-1].step,
    )


def _advice(extractor: FeatureExtractor) -> Advice | None:
    """The advice on a training up to this checkpoint; None for a network that was not trained."""
    if not extractor.samples_seen:
        return None
    folder = Path(parse_spec(extractor.spec)[0]).parent
    facts, looks = read_course(folder)
    looks = [look for look in looks if look.samples <= extractor.samples_seen]
    if not looks or looks[-1].samples != extractor.samples_seen:
        raise ValueError(
            f"{extractor.spec}: no dense structure was measured of this checkpoint; train with "
            "hooks=[dict(type='DenseStructureHook'), …]"
        )
    kept = {0, looks[-1].step, *(step for step, _ in saved_steps(folder))}
    return advise(looks, from_random=facts["start"] == RANDOM, kept=kept)


def _network(extractor: FeatureExtractor, step: int) -> FeatureExtractor:
    """Another checkpoint of the same training; 0 is the network before it."""
    if not step:
        return load_reference(extractor)
    file, _ = parse_spec(extractor.spec)
    options = extractor.spec.removeprefix(str(file))
    spec = f"{Path(file).with_name(f'iter_{step}.pth')}{options}"
    return FeatureExtractor.load(spec, extractor.weights, extractor.device)


BENCHMARK = Benchmark(
    name="advised",
    about="dense quality of the checkpoint that dense structure advises, above the last one's",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=("gain", "highest_gain", "advised", "highest", "last", "cosine_to_start"),
    expected=lambda data, settings: None,
    quick=dict(size=(128, 128)),
)
