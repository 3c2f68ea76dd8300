"""What a source holds, in a few lines for people: to see at a glance that it is what was meant."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pretrain.data.frames import FramePairs
from pretrain.data.random_labels import RandomLabels
from pretrain.data.sources import NO_LABEL, Source
from pretrain.names import printable

#: How many classes or videos are named, and how many files.
SHOWN = 8
SAMPLES = 3


def describe_source(source: Source) -> str:
    """Lists the classes or videos of a source with their counts, and a few of its files, evenly
    spread.

    Returns:
        Lines, without a newline at the end.
    """
    count = len(source)
    chosen = np.unique(np.linspace(0, count - 1, min(SAMPLES, count)).round().astype(int)).tolist()
    lines = [_contents(source), f"for example {', '.join(source.name(i) for i in chosen)}"]
    return printable("\n".join(lines))


def _contents(source: Source) -> str:
    if isinstance(source, FramePairs):
        counts = source.video_counts()
        return f"{len(counts)} videos (frames): {_listed(counts)}"
    if isinstance(source, RandomLabels):
        return f"{len(source.classes)} random labels over: {_contents(source.source)}"
    if source.classes is None:
        reason = getattr(source, "unlabelled", "")
        return f"no labels{f' ({reason})' if reason else ''}"
    labels = Counter(source.label(index) for index in range(len(source)))
    unlabelled = labels.pop(NO_LABEL, 0)
    counts = {name: labels[number] for number, name in enumerate(source.classes)}
    empty = sum(not number for number in counts.values())
    extra = [f"{unlabelled} images without a label"] * bool(unlabelled)
    extra += [f"{empty} classes without an image"] * bool(empty)
    return "; ".join([f"{len(counts)} classes (images): {_listed(counts)}", *extra])


def _listed(counts: dict[str, int]) -> str:
    """The first names with their counts; the smallest and the largest of the others."""
    shown = [f"{name} {number}" for name, number in list(counts.items())[:SHOWN]]
    others = list(counts.values())[SHOWN:]
    tail = [f"and {len(others)} more of {min(others)} to {max(others)}"] if others else []
    return ", ".join(shown + tail)
