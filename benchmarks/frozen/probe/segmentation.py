"""Linear-probe segmentation: the benchmark ``probe``.

A 1×1 convolution from the features to the classes, trained by cross-entropy over labelled pixels.
With ``train_at="high"`` it is trained behind the upsampler, on labels of that grid; with ``"low"``
on the network's own grid, on the labels under the cells' centres, and applied behind the upsampler
(probe transfer: does upsampling stay in the feature space?). Class scores coarser than the masks
are resized bilinearly; their argmax goes into one confusion matrix over the validation part, and
mIoU is the mean over classes with a non-empty union.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.scores import SEGMENTATION_METRICS, SegmentationTally
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.baselines import classes_by_place
from benchmarks.frozen.probe import settings as base
from benchmarks.frozen.probe.losses import CrossEntropy
from benchmarks.frozen.probe.probing import probe_features
from benchmarks.frozen.probe.settings import QUICK, facts_of
from benchmarks.frozen.probe.stand_in import colour_position, stand_in
from pretrain.progress import Progress

NAME = "probe"


@dataclass(frozen=True)
class Settings(base.Settings):
    """The settings of probes, nothing added."""


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Trains and scores a linear probe behind the extractor's upsampler.

    Cost per optimiser step: ``images_per_step`` times the upsampling of K classes (of all C
    channels where the upsampler is not linear).

    Args:
        extractor: Outputs have one value per ``task_stride`` pixels, also without an
            upsampler: then those on the network's own grid are resized bilinearly.
        data: Its train part trains the probe, its val part is scored.
        settings: The protocol.
        progress: Called with (phase, done, in all).

    Returns:
        mIoU and pixel accuracy in percent; counts for
            :func:`benchmarks.core.scores.image_counts`.

    Raises:
        ValueError: size and strides do not fit, a feature that is not finite (named image), a
            diverging probe.
    """
    tally = SegmentationTally(data.classes)
    cost = probe_features(
        extractor,
        data,
        settings,
        outputs=data.classes,
        loss=CrossEntropy(),
        score=tally.add_scores,
        progress=progress,
    )
    return tally.result(NAME, facts=_facts(extractor, data, settings), cost=cost)


def _facts(
    extractor: FeatureExtractor, data: SegmentationFolder, settings: Settings
) -> dict[str, Any]:
    return facts_of(extractor, len(data.train), settings) | dict(loss="cross-entropy")


def _by_place(
    data: SegmentationFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    train_stride: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """The most frequent class of the train part, of all pixels or at the same pixel."""
    tally = classes_by_place(data, settings, everywhere=everywhere, progress=progress)
    facts = _facts(stand_in(stride, train_stride), data, settings)
    return tally.result(NAME, facts=facts)


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of pixels by a linear probe",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=SEGMENTATION_METRICS,
    quick=QUICK,
    baselines=dict(
        majority=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=colour_position(run),
    ),
    baseline_needs=("stride", "train_stride"),
    upsampled_stride=1,
    own_grid=False,
)
