"""What ``--preset NAME --explain`` prints: what each setting is, where it stands, what changing it
does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from benchmarks.core.features import FeatureSettings
from benchmarks.evaluate.presets.load import load_preset, preset_names
from benchmarks.evaluate.presets.notes import argument_notes, field_notes
from benchmarks.evaluate.presets.preset import SECTIONS, Entry, Preset
from benchmarks.evaluate.presets.task import shown
from benchmarks.evaluate.suite import find_benchmark

_WIDTH = 100


def explain(preset: Preset) -> str:
    """All of a preset, for a terminal."""
    benchmark = find_benchmark(preset.benchmark)
    layout = preset.data["layout"].value
    lines = [
        f"{preset.name}, version {preset.version}: {preset.title}",
        f"  run it: pixelpretext evaluate BACKBONE --preset {preset.name} --data {layout}:ROOT",
        _item(f"benchmark {benchmark.name}", benchmark.about),
    ]
    lines += _section("data", preset.data, argument_notes(benchmark.data))
    lines += _section("counts, refused where they differ", preset.counts, {})
    lines += _section("colours", dict(normalisation=preset.normalisation), _COLOURS)
    lines += _section("features", preset.features, field_notes(FeatureSettings))
    notes = field_notes(benchmark.settings)
    for section in SECTIONS:
        chosen = {}
        for name, entry in preset.settings.items():
            if preset.sections[name] == section:
                chosen[name] = entry
        lines += _section(section, chosen, notes)
    lines += _section("fixed, no setting changes it", preset.fixed, {})
    lines += ["", _item("reported value", preset.selection)]
    tolerances = ", ".join(f"{name} {value:g}" for name, value in preset.tolerance.items())
    lines.append(_item("tolerance, our choice", tolerances))
    lines += _listed("deviations from the source", preset.deviations)
    lines += _published(preset)
    lines += _listed("sources", [f"{name}: {text}" for name, text in preset.sources.items()])
    return "\n".join(lines)


def print_explained(names: Sequence[str]) -> None:
    """Prints presets, one after the other.

    Raises:
        ValueError: none, or as :func:`load_preset`.
    """
    if not names:
        raise ValueError("--explain: name what to explain by --preset; --presets lists them")
    print("\n\n".join(map(explain, map(load_preset, names))))


def as_text() -> str:
    """All presets in a line each, for a terminal."""
    lines = []
    for preset in map(load_preset, preset_names()):
        rows = len(preset.published)
        lines.append(
            f"{preset.name:<24} {preset.title} ({preset.benchmark}; {rows} rows published)"
        )
    return "\n".join(lines)


_COLOURS = dict(normalisation="mean and std that images are normalised with")


def _section(title: str, entries: Mapping[str, Entry], notes: Mapping[str, str]) -> Iterator[str]:
    if not entries:
        return
    yield f"\n{title}"
    for name, entry in entries.items():
        yield f"  {name} = {_value(entry)}"
        parts = {"what": notes.get(name), "source": entry.source, "changing it": entry.effect}
        for word, text in parts.items():
            if text:
                yield _item(f"  {word}", text)


def _value(entry: Entry) -> str:
    if not entry.follows_stride:
        return shown(entry.value)
    cases = [f"{shown(value)} at stride {key}" for key, value in entry.value["by_stride"].items()]
    return ", ".join(cases)


def _published(preset: Preset) -> Iterator[str]:
    yield "\npublished" if preset.published else "\npublished: nothing"
    for row in preset.published:
        behind = "" if row.upsampler is None else f" behind {row.upsampler}"
        why = f"; not compared: {row.comparable}" if row.comparable else ""
        yield _item(
            f"{row.model}{behind}", f"{row.metric} {row.value} ({row.kind}: {row.source}{why})"
        )


def _listed(title: str, texts: tuple[str, ...] | list[str]) -> Iterator[str]:
    if texts:
        yield f"\n{title}"
        for text in texts:
            yield fill(text, _WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _item(name: str, text: str) -> str:
    return fill(
        f"{name}: {text}",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_on_hyphens=False,
        break_long_words=False,
    )
