"""The benchmark: train, score the validation part once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.scores import SEGMENTATION_METRICS, SegmentationTally
from benchmarks.data import SegmentationFolder
from benchmarks.frozen import retrieval
from benchmarks.frozen.baselines import ColourPosition, classes_by_place
from benchmarks.frozen.decoder.network import DecoderNetwork, make_network
from benchmarks.frozen.decoder.settings import Settings
from benchmarks.frozen.decoder.train import train
from benchmarks.frozen.retrieval.label import fill_memory
from benchmarks.frozen.retrieval.run import class_labels
from pretrain.progress import Progress
from pretrain.random_state import undisturbed_random

NAME = "decoder"
FACTS = dict(resolution="resized")


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Trains a decoder and scores it: mIoU and pixel accuracy in percent, counts as retrieval's and
    ``loss``, the training loss in up to 100 means.

    Neither the extractor's backbone nor its upsampler is changed; torch's random state comes back
    as it was.

    Raises:
        ValueError: a size that does not fit the strides; an upsampler that cannot be trained here;
            a loss that is not finite.
    """
    with undisturbed_random(extractor.device), torch.enable_grad():
        torch.manual_seed(settings.seed)
        network, upsampler = make_network(extractor, data.classes, settings)
        losses = train(network, extractor, data.train, settings=settings, progress=progress)
    tally = score(network, extractor, data, settings=settings, progress=progress)
    parameters = {}
    for name, part in network.head.named_children():
        parameters[name] = sum(parameter.numel() for parameter in part.parameters())
    cost = dict(parameters=sum(parameters.values()), upsamplers=parameters["upsamplers"])
    result = tally.result(NAME, facts=FACTS, cost=cost)
    counts = result.counts | dict(loss=losses)
    return replace(result, counts=counts, subject=dict(upsampler=upsampler))


@torch.inference_mode()
def score(
    network: DecoderNetwork,
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    *,
    settings: Settings,
    progress: Progress | None = None,
) -> SegmentationTally:
    """Counts right and wrong pixels of the validation part."""
    tally, total = SegmentationTally(data.classes), data.val.batch_count(settings.batch_size)
    for done, batch in enumerate(data.val.batches(settings.size, settings.batch_size), start=1):
        tally.add_scores(network(extractor.normalise(batch.images)), batch)
        if progress:
            progress("score", done, total)
    return tally


def _by_place(
    data: SegmentationFolder,
    settings: Settings,
    *,
    everywhere: bool,
    progress: Progress | None = None,
) -> Result:
    """The most frequent class of the train part, of all pixels or at the same pixel."""
    tally = classes_by_place(data, settings, everywhere=everywhere, progress=progress)
    return tally.result(NAME, facts=FACTS)


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, progress: Progress | None = None
) -> Result:
    """Nearest neighbours of mean colours and positions in place of a trained decoder."""
    memory = retrieval.Settings(
        size=settings.size, memory_size=102_400, passes=1, augment=False, backend="torch"
    )
    labeller = fill_memory(
        ColourPosition(settings.stride),
        data.train,
        memory,
        labelling=class_labels(data, memory),
        progress=progress,
    )
    tally = SegmentationTally(data.classes)
    for scores, batch in labeller.label(data.val, progress):
        tally.add_scores(scores, batch)
    return tally.result(NAME, facts=FACTS)


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of pixels by a trained SegFormer-like decoder",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=SEGMENTATION_METRICS,
    quick=dict(size=(128, 128), dim=64, steps=200, images_per_step=8, lr=2e-3),
    baselines=dict(
        majority=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=_colour_position,
    ),
    upsampled_stride=4,
    own_grid=False,
)
