"""Reading the files of presets, and refusing one that is not complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from benchmarks.core.benchmark import Benchmark, role_of
from benchmarks.core.features import FeatureSettings
from benchmarks.data.layouts import LAYOUTS
from benchmarks.evaluate.presets.preset import (
    FEATURES,
    OF_WEIGHTS,
    SECTIONS,
    Entry,
    Preset,
    Published,
)
from benchmarks.evaluate.suite import data_arguments, find_benchmark
from pretrain.annotations import fit_all
from pretrain.engine.config_file import read_config
from pretrain.names import check_choice, check_names, suggestion
from pretrain.places import config_names

FOLDER = "presets"
_TEXTS = ("title", "benchmark", "selection")
_TOP = (
    "version",
    *_TEXTS,
    "sources",
    "data",
    "counts",
    "normalisation",
    FEATURES,
    *SECTIONS,
    "fixed",
    "seed",
    "tolerance",
    "published",
    "deviations",
)
_OPTIONAL = {"head", "train", "predict", "score", "fixed", "seed", "deviations"}


def preset_names() -> list[str]:
    """Names of the presets that come with the project."""
    return config_names(FOLDER)


def load_preset(name: str) -> Preset:
    """Reads a preset.

    Args:
        name: one of :func:`preset_names`, or the path of a file like theirs.

    Raises:
        ValueError: no such preset, or a file that is none or not complete; names the file's entry.
        FileNotFoundError: as :func:`pretrain.places.find_config`.
    """
    known = preset_names()
    if not name.endswith(".py") and name not in known:
        raise ValueError(
            f"preset {name!r} is not one of {', '.join(known)}{suggestion(name, known)}"
        )
    config = read_config(name, folder=FOLDER)
    stem = str(config.filename).rsplit("/", 1)[-1].removesuffix(".py")
    values = {}
    for key, value in config.to_dict().items():
        if not key.startswith("_"):
            values[key] = value
    where = f"preset {stem!r}: "
    try:
        return _build(stem, values, file=name)
    except ValueError as error:
        raise ValueError(where + str(error).removeprefix(where)) from error


def _build(name: str, values: Mapping[str, Any], *, file: str) -> Preset:
    check_names("entry", values, _TOP)
    missing = [key for key in _TOP if key not in values and key not in _OPTIONAL]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    for key in (*_TEXTS, "version"):
        kind = int if key == "version" else str
        if not isinstance(values[key], kind) or not values[key]:
            raise ValueError(f"{key}={values[key]!r} must be a {kind.__name__}, not empty")
    benchmark = find_benchmark(values["benchmark"])
    settings, sections = _settings(values, benchmark)
    preset = Preset(
        name=name,
        file=file,
        version=values["version"],
        title=values["title"],
        benchmark=values["benchmark"],
        sources=dict(values["sources"]),
        data=_entries("data", values["data"]),
        counts=_entries("counts", values["counts"], effect=False),
        normalisation=_entry("normalisation", values["normalisation"]),
        features=_entries(FEATURES, values[FEATURES]),
        settings=settings,
        sections=sections,
        fixed=_entries("fixed", values.get("fixed", {}), effect=False),
        selection=values["selection"],
        seed=values.get("seed"),
        tolerance=dict(values["tolerance"]),
        published=tuple(map(_published, values["published"])),
        deviations=tuple(values.get("deviations", ())),
    )
    _check(preset, benchmark)
    return preset


def _settings(
    values: Mapping[str, Any], benchmark: Benchmark
) -> tuple[dict[str, Entry], dict[str, str]]:
    """The settings of all sections, and the section of each."""
    settings: dict[str, Entry] = {}
    sections: dict[str, str] = {}
    for section in SECTIONS:
        for key, entry in _entries(section, values.get(section, {})).items():
            if key in sections:
                raise ValueError(f"{key} stands in {sections[key]} and in {section}; name it once")
            settings[key], sections[key] = entry, section
    legal = [setting.name for setting in fields(benchmark.settings)]
    check_names(f"setting of benchmark {benchmark.name}", settings, legal)
    for setting in fields(benchmark.settings):
        if setting.name not in settings and role_of(setting) != "speed":
            raise ValueError(
                f"{setting.name} of benchmark {benchmark.name} is missing: a preset leaves no "
                f"setting to a default; add {setting.name}=(value, source, effect) to one of "
                f"{', '.join(SECTIONS)}"
            )
    return settings, sections


def _entries(section: str, values: Any, *, effect: bool = True) -> dict[str, Entry]:
    if not isinstance(values, Mapping):
        raise ValueError(f"{section}={values!r} must be a dict of (value, source, effect)")
    return {key: _entry(f"{section}.{key}", value, effect=effect) for key, value in values.items()}


def _entry(name: str, value: Any, *, effect: bool = True) -> Entry:
    form = "(value, source, effect)" if effect else "(value, source)"
    right = isinstance(value, (list, tuple)) and len(value) == 2 + effect
    if not right or not all(isinstance(text, str) and text for text in value[1:]):
        raise ValueError(f"{name}={value!r} must be {form}, the texts not empty")
    return Entry(*value)


def _published(row: Any) -> Published:
    if not isinstance(row, Mapping):
        raise ValueError(f"published: {row!r} must be dict(model=…, metric=…, value='77.0', …)")
    check_names("key of a published row", row, Published.__dataclass_fields__)
    try:
        return Published(**row)
    except TypeError as error:
        raise ValueError(f"published: {dict(row)!r} lacks something: {error}") from error


def _check(preset: Preset, benchmark: Benchmark) -> None:
    """Refuses what does not fit together; values are checked by what takes them."""
    legal = [setting.name for setting in fields(FeatureSettings)]
    check_names("field of features", preset.features, legal)
    missing = [name for name in legal if name not in preset.features]
    if missing:
        raise ValueError(
            f"{FEATURES}.{missing[0]} is missing; a preset leaves nothing to a default"
        )
    if "layout" not in preset.data:
        raise ValueError("data.layout is missing; it names the layout of the published data set")
    check_choice("data.layout", preset.data["layout"].value, LAYOUTS)
    arguments = {key: entry.value for key, entry in preset.data.items()}
    data_arguments(preset.name, benchmark, arguments | dict(root="."))
    if preset.seed is not None:
        check_choice("seed", preset.seed, preset.settings)
    check_normalisation(preset.normalisation.value)
    check_names(f"metric of benchmark {benchmark.name}", preset.tolerance, benchmark.metrics)
    for row in preset.published:
        check_choice("metric of a published row", row.metric, preset.tolerance)
    _check_sources(preset)
    for stride in strides_of(preset.settings.values()):
        settings = {key: entry.resolve(key, stride) for key, entry in preset.settings.items()}
        benchmark.settings(**fit_all(settings, benchmark.settings, where=""))
    features = {key: entry.value for key, entry in preset.features.items()}
    FeatureSettings(**fit_all(features, FeatureSettings, where=f"{FEATURES}."))


def check_normalisation(value: Any) -> None:
    """Raises a ValueError unless it is ``weights`` or a dict of mean and std."""
    if value == OF_WEIGHTS:
        return
    if not isinstance(value, Mapping) or set(value) != {"mean", "std"}:
        raise ValueError(
            f"normalisation={value!r} must be {OF_WEIGHTS!r}, or dict(mean=(R, G, B), "
            "std=(R, G, B)) of colours in [0, 1]"
        )
    for key, numbers in value.items():
        if len(numbers) != 3 or (key == "std" and min(numbers) <= 0):
            raise ValueError(f"normalisation: {key}={numbers!r} must be three numbers, std above 0")


def _check_sources(preset: Preset) -> None:
    """Every source begins with a name of the legend, and every name of the legend is used."""
    texts = {name: entry.source for name, entry in preset.entries.items()}
    texts |= {f"counts.{name}": entry.source for name, entry in preset.counts.items()}
    texts |= {f"fixed.{name}": entry.source for name, entry in preset.fixed.items()}
    texts |= {f"published: {row.model}": row.source for row in preset.published}
    for name, text in texts.items():
        if text.partition(",")[0].partition(":")[0] not in preset.sources:
            raise ValueError(
                f"{name}: source={text!r} must begin with one of {', '.join(preset.sources)}, "
                "then a comma or a colon and the place in it"
            )


def strides_of(entries: Iterable[Entry]) -> list[int]:
    """The strides that values are given for; one that needs none where none is."""
    known = set()
    for entry in entries:
        if entry.follows_stride:
            known |= set(entry.value["by_stride"])
    return sorted(known) or [1]
