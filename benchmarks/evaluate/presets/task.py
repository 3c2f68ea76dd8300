"""A preset as a task of the suite: its data opened, its settings resolved for a network, and its
name changed where the user changed anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from benchmarks.core.benchmark import role_of
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.core.record import Record
from benchmarks.evaluate.presets.load import check_normalisation, strides_of
from benchmarks.evaluate.presets.preset import DATA, FEATURES, OF_WEIGHTS, Entry, Preset
from benchmarks.evaluate.presets.refusals import require_counts, require_own_colours
from benchmarks.evaluate.suite import Task, data_arguments, find_benchmark, make_settings
from pretrain.annotations import build
from pretrain.names import check_names

#: Options of data that take fewer images than there are; they mark a result as limited.
LIMITS = ("limit", "every")


@dataclass(kw_only=True)
class PresetTask(Task):
    """A preset with its data opened, ready for any network.

    Attributes:
        preset: which.
        given: what the user set, by the names of :attr:`Preset.entries`, or settings of speed.
        arguments: of the class that read the data.
        limits: option of the data -> value; empty for the whole set.
        seeds: of training; empty where nothing is trained.
        model: row of the published numbers that the network is, where the user says so; else
            timm's name tells, once there is a network.
        label: the preset's name, with what was changed; known once there is a network.
        changed: what was changed, likewise: ``size 512 → 448``.
    """

    preset: Preset
    given: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    model: str | None = None
    label: str = ""
    changed: tuple[str, ...] = ()

    def check(self, extractor: FeatureExtractor) -> None:
        """As :meth:`Task.check`, with the settings and features that this network gets.

        Raises:
            ValueError: also for colours that the weights were not trained with, features that the
                network cannot give, a setting that is not published for its stride.
        """
        for task, network in self.prepared(extractor):
            Task.check(task, network)
            return  # seeds do not change what the network is shown

    def prepared(self, extractor: FeatureExtractor) -> Iterator[tuple[Task, FeatureExtractor]]:
        """Yields this task, once per seed, with the settings that are meant for the network, and
        the network as the preset reads it.
        """
        require_own_colours(extractor, self._entry("normalisation"))
        stride = extractor.map_stride
        changed = tuple(self._changes(stride))
        common = dict(changed=changed, label=self._label(changed))
        common |= dict(model=self.model or timm_name(extractor))
        network = self._coloured(extractor.reading(self.features))
        for seed in self.seeds or (None,):
            settings = self.settings_for(stride, seed=seed)
            config = self.config | dict(seeds=[] if seed is None else [seed])
            yield replace(self, settings=settings, config=config, **common), network

    def settings_for(self, stride: int, *, seed: int | None = None) -> Any:
        """The benchmark's settings for a network whose own map has this stride."""
        values = {}
        for name, entry in self.preset.settings.items():
            if name not in self.given:
                values[name] = entry.resolve(f"{self.preset.name}.{name}", stride)
        names = {setting.name for setting in fields(self.benchmark.settings)}
        values |= {name: value for name, value in self.given.items() if name in names}
        if seed is not None:
            values[self.preset.seed] = seed
        return make_settings(self.preset.name, self.benchmark, values)

    @property
    def features(self) -> FeatureSettings:
        """How the network is read."""
        values = {name: self._entry(f"{FEATURES}.{name}") for name in self.preset.features}
        return build(FeatureSettings, values, where=f"preset {self.preset.name!r}: {FEATURES}.")

    def signed(self, record: Record) -> Record:
        """The record of this task with what the preset adds: its name and the features in the
        protocol, all resolved settings in the subject. Repetitions of training share a protocol.

        Args:
            record: of the benchmark.
        """
        protocol = dict(record.protocol)
        protocol |= dict(
            preset=self.label,
            preset_version=self.preset.version,
            features=self.features.describe(),
            normalisation=plain(self._entry("normalisation")),
        )
        stated = dict(
            name=self.preset.name,
            file=self.preset.file,
            label=self.label,
            version=self.preset.version,
            changed=list(self.changed),
            limited=", ".join(f"{name} {shown(value)}" for name, value in self.limits.items()),
            model=self.model,
            settings=plain(asdict(self.settings)),
            features=protocol["features"],
            normalisation=protocol["normalisation"],
            data={key: plain(self._entry(f"{DATA}.{key}")) for key in self.preset.data},
        )
        if self.preset.seed is not None:
            protocol.pop(self.preset.seed, None)
            stated["seed"] = stated["settings"][self.preset.seed]
        return replace(record, protocol=protocol, subject=record.subject | dict(preset=stated))

    def _entry(self, name: str) -> Any:
        return self.given.get(name, self.preset.entries[name].value)

    def _coloured(self, extractor: FeatureExtractor) -> FeatureExtractor:
        """The network with the colours of the preset, where these are not those of the weights."""
        colours = self._entry("normalisation")
        if colours == OF_WEIGHTS:
            return extractor
        return extractor.coloured(colours["mean"], colours["std"])

    def _label(self, changed: tuple[str, ...]) -> str:
        notes = [f"changed: {', '.join(changed)}"] if changed else []
        if self.limits:
            limits = [f"{name} {shown(value)}" for name, value in self.limits.items()]
            notes.append(f"limited: {', '.join(limits)}")
        return f"{self.preset.name} ({'; '.join(notes)})" if notes else self.preset.name

    def _changes(self, stride: int) -> Iterator[str]:
        """What was changed, as in ``size 512 → 448``, in the order of the preset."""
        given, published = self.settings_for(stride), self._published_settings(stride)
        own = replace(self, given={})
        for name in (*self.preset.entries, *sorted(self.given.keys() - self.preset.entries)):
            if name not in self.given:
                continue
            if name in self.preset.settings and _counts(self.benchmark.settings, name):
                if name == self.preset.seed and self.seeds:
                    continue
                known = _published_for(self.preset.settings[name], stride)
                before, after = getattr(published, name) if known else None, getattr(given, name)
            elif name.startswith(f"{FEATURES}."):
                key = name.removeprefix(f"{FEATURES}.")
                before, after = getattr(own.features, key), getattr(self.features, key)
            elif name == "normalisation" or name.startswith(f"{DATA}."):
                entry = self.preset.entries.get(name)
                before, after = None if entry is None else entry.value, self.given[name]
            else:
                continue  # speed only
            if plain(before) != plain(after):
                yield f"{name} {shown(before)} → {shown(after)}"

    def _published_settings(self, stride: int) -> Any:
        """The settings that the preset has for a network of this stride; those that it lacks are
        what the user gave.
        """
        values = {}
        for name, entry in self.preset.settings.items():
            known = _published_for(entry, stride)
            values[name] = entry.resolve(name, stride) if known else self.given[name]
        return make_settings(self.preset.name, self.benchmark, values)


def open_task(
    preset: Preset,
    root: str,
    *,
    layout: str,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
    seeds: tuple[int, ...] = (),
    model: str | None = None,
) -> PresetTask:
    """Opens the data of a preset and checks what the user set.

    Args:
        preset: which.
        root: folder of the data.
        layout: of the data.
        options: of the data, which go before the preset's own.
        given: as in :class:`PresetTask`, without those of the data.
        seeds: repetitions of the training.
        model: as in :class:`PresetTask`.

    Raises:
        ValueError: an unknown name, an illegal value, seeds of a preset that trains nothing, other
            counts than published; errors of the data.
        FileNotFoundError: the data is not there.
    """
    benchmark = find_benchmark(preset.benchmark)
    legal = [name for name in preset.entries if not name.startswith(f"{DATA}.")]
    legal += [one.name for one in fields(benchmark.settings) if one.name not in legal]
    check_names(f"entry of preset {preset.name}", given, legal)
    check_normalisation(given.get("normalisation", OF_WEIGHTS))
    if seeds and preset.seed is None:
        raise ValueError(
            f"--seeds {' '.join(map(str, seeds))}: preset {preset.name} trains nothing; its "
            "interval is that over images"
        )
    own = {key: entry.value for key, entry in preset.data.items()}
    published = own["layout"]
    del own["layout"]
    arguments = benchmark.data.arguments(layout, root, own | dict(options))
    if arguments is None:
        raise ValueError(
            f"preset {preset.name} needs a {benchmark.data.wanted()}, found {layout!r}"
        )
    data = benchmark.data(**data_arguments(preset.name, benchmark, arguments))
    changed = {} if layout == published else {f"{DATA}.layout": layout}
    for key, value in options.items():
        if key not in LIMITS and plain(value) != plain(own.get(key)):
            changed[f"{DATA}.{key}"] = value
    limits = {key: options[key] for key in LIMITS if key in options}
    if not changed and not limits:
        require_counts(data.protocol, preset)
    task = PresetTask(
        preset.name,
        benchmark,
        data,
        settings=None,
        arguments=arguments,
        preset=preset,
        given=dict(given) | changed,
        limits=limits,
        seeds=_seeds(preset, seeds, given),
        model=model,
    )
    # What pages and trivial predictors see before there is a network.
    task.settings = task.settings_for(strides_of(preset.settings.values())[0])
    return task


def _seeds(preset: Preset, seeds: tuple[int, ...], given: Mapping[str, Any]) -> tuple[int, ...]:
    if preset.seed is None:
        return ()
    return seeds or (given.get(preset.seed, preset.settings[preset.seed].value),)


def timm_name(extractor: FeatureExtractor) -> str | None:
    """timm's name of the weights, with their tag, and what takes place out of their features, as in
    ``vit_base_patch16_dinov3.lvd1689m?without_place=black:20``; None for weights that are not
    timm's, and for planes, which are another measurement's own.
    """
    removed = "" if extractor.removal is None else extractor.removal.spec
    if not extractor.spec.startswith("timm:") or removed is None:
        return None
    known = extractor.backbone.model.pretrained_cfg
    name = ".".join(filter(None, (known.get("architecture"), known.get("tag"))))
    return f"{name}?without_place={removed}" if removed else name


def _published_for(entry: Entry, stride: int) -> bool:
    """Whether a setting has a value for networks of this stride."""
    return not entry.follows_stride or stride in entry.value["by_stride"]


def _counts(settings: type, name: str) -> bool:
    """Whether a setting is one that may change the number."""
    return any(one.name == name and role_of(one) != "speed" for one in fields(settings))


def plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def shown(value: Any) -> str:
    """A value in a name: ``448,448``."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(shown, value)) or "none"
    return str(value)
