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
from typing import Any

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.core.scores import SegmentationTally
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.probe import settings as base
from benchmarks.frozen.probe.losses import CrossEntropy
from benchmarks.frozen.probe.probing import probe_features
from benchmarks.frozen.retrieval.decode import record_of, score_batch
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings(base.Settings):
    """The settings of probes, nothing added."""


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Record:
    """Trains and scores a linear probe behind the extractor's upsampler.

    Cost per optimiser step: ``images_per_step`` times the upsampling of K classes (of all C
    channels where the upsampler is not linear).

    Args:
        extractor: Outputs have one value per ``upsampled_stride`` pixels, also without an
            upsampler: then those on the network's own grid are resized bilinearly.
        data: Its train part trains the probe, its val part is scored.
        settings: The protocol.
        progress: Called with (phase, done, in all).

    Returns:
        Record ``probe``: mIoU and pixel accuracy in percent; counts for
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
        score=lambda outputs, batch: score_batch(tally, outputs, batch),
        progress=progress,
    )
    protocol = protocol_of(extractor, data, settings)
    return record_of("probe", tally, protocol, compat=(), cost=cost, extractor=extractor)


def protocol_of(
    extractor: FeatureExtractor, data: SegmentationFolder, settings: Settings
) -> dict[str, Any]:
    """What the number depends on apart from network and upsampler."""
    return base.protocol_of(extractor, data, settings) | dict(loss="cross-entropy")
