"""The command ``pixelpretext fit-place``: from its arguments to a file of planes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from benchmarks.core.commands import choose_device
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.place_removal import FitSettings, fit_planes
from benchmarks.data import SegmentationFolder
from benchmarks.evaluate.arguments import split_data
from pretrain.annotations import build
from pretrain.command_line import read_pairs
from pretrain.files import require_writable
from pretrain.progress import Bars
from pretrain.specs import literal


def fit_place(
    network: str,
    data: str,
    *,
    out: str,
    settings: Sequence[str] = (),
    weights: str = "online",
    device: str | None = None,
) -> str:
    """Fits planes and writes them.

    Args:
        network: spec of :meth:`FeatureExtractor.load`.
        data: ``LAYOUT:ROOT?options`` of images with masks, whose train part is shown.
        out: file to write.
        settings: ``KEY=VALUE`` of :class:`FitSettings`.
        weights: ``online`` or ``target``.
        device: where it runs; None: cuda where it is.

    Returns:
        What was written, in a line.

    Raises:
        ValueError, OSError: a mistake in the arguments or the data.
    """
    require_writable(out, "--out")
    given = read_pairs(settings, option="--set", example="size=518,518", parse=literal)
    fitting = build(FitSettings, given, where="--set: ")
    layout, root, options = split_data(data)
    arguments = SegmentationFolder.arguments(layout, root, options)
    if arguments is None:
        raise ValueError(f"--data {data!r}: fit-place needs a {SegmentationFolder.wanted()}")
    shown = SegmentationFolder(**arguments)
    extractor = FeatureExtractor.load(network, weights=weights, device=choose_device(device))
    if extractor.removal is not None:
        raise ValueError(
            f"network {network!r}: planes are fitted to whole features; leave without_place out"
        )
    extractor.check_size(fitting.size)
    with Bars(Console()) as bars, bars.bar(f"{network} fit-place") as progress:
        planes = fit_planes(
            extractor, shown.train, fitting, described=shown.protocol, progress=progress
        )
    planes.save(out)
    count = planes.directions.shape[1]
    return (
        f"{out}: {count} directions in {fitting.rounds} planes of {len(planes.directions)} channels"
    )
