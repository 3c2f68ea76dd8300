"""The benchmark: train, score the validation part once, record."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.core.scores import SegmentationTally
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.decoder.network import DecoderNetwork, make_network
from benchmarks.frozen.decoder.settings import Settings
from benchmarks.frozen.decoder.train import train
from benchmarks.frozen.retrieval.decode import record_of, score_batch
from pretrain.progress import Progress

_NOT_IN_PROTOCOL = ("batch_size", "upsampler")  # speed; what is measured, it stands in the subject


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Record:
    """Trains a decoder and scores it: record ``decoder`` with mIoU and pixel accuracy in percent,
    counts as retrieval's and ``loss``, the training loss in up to 100 means.

    Neither the extractor's backbone nor its upsampler is changed; torch's random state comes back
    as it was.

    Raises:
        ValueError: a size that does not fit the strides; an upsampler that cannot be trained here;
            a loss that is not finite.
    """
    started = time.perf_counter()
    devices = [extractor.device] if extractor.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(settings.seed)
        network, described = make_network(extractor, data.classes, settings)
        losses = train(network, extractor, data.train, settings, progress)
    tally = score(network, extractor, data, settings, progress)
    protocol = protocol_of(data, settings)
    trained = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in network.head.named_children()
    }
    cost = dict(
        seconds=time.perf_counter() - started,
        parameters=sum(trained.values()),
        upsamplers=trained["upsamplers"],
    )
    record = record_of("decoder", tally, protocol, compat=(), cost=cost, extractor=extractor)
    subject = record.subject | dict(upsampler=described)
    return replace(record, counts=record.counts | dict(loss=losses), subject=subject)


def protocol_of(data: SegmentationFolder, settings: Settings) -> dict[str, Any]:
    """What the number depends on apart from network and upsampler."""
    chosen = {
        name: value for name, value in asdict(settings).items() if name not in _NOT_IN_PROTOCOL
    }
    return dict(data=data.protocol, resolution="resized") | chosen | dict(size=list(settings.size))


@torch.inference_mode()
def score(
    network: DecoderNetwork,
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    progress: Progress | None = None,
) -> SegmentationTally:
    """Counts right and wrong pixels of the validation part."""
    tally, total = SegmentationTally(data.classes), data.val.batch_count(settings.batch_size)
    for done, batch in enumerate(data.val.batches(settings.size, settings.batch_size), start=1):
        score_batch(tally, network(extractor.normalise(batch.images)), batch)
        if progress:
            progress("score", done, total)
    return tally
