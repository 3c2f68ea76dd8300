"""Config mistakes are errors before the run starts, with the name that was probably meant."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIMIZERS, TRANSFORMS, VISBACKENDS, Registry
from torch import nn

from pretrain.annotations import kind, matches, spell
from pretrain.engine.group_settings import OPTIONS
from pretrain.engine.settings import (
    ConfigError,
    EngineSettings,
    LoaderSettings,
    ScheduleSettings,
    did_you_mean,
    read_section,
    require,
)
from pretrain.names import suggestion

#: Sections that are one registry dict or a list of them.
REGISTRIES: dict[str, Registry] = {
    "model": MODELS,
    "source": DATASETS,
    "views": TRANSFORMS,
    "optimizer": OPTIMIZERS,
    "hooks": HOOKS,
    "vis_backends": VISBACKENDS,
}
SECTIONS = {"loader": LoaderSettings, "schedule": ScheduleSettings, "engine": EngineSettings}
PLAIN = {
    "seed": int,
    "work_dir": str | None,
    "load_from": str | None,
    "custom_imports": dict | None,
}
REQUIRED = ("model", "source", "views", "schedule", "optimizer")
#: Arguments that whoever builds the object adds by itself, per section.
SUPPLIED = {
    "model": {"features", "weight"},
    "optimizer": {"params", "lr", *OPTIONS},
    "hooks": {"priority"},
}


@dataclass(frozen=True)
class Settings:
    """The typed sections of a config."""

    loader: LoaderSettings
    schedule: ScheduleSettings
    engine: EngineSettings


def register_all() -> None:
    """Imports every module whose classes configs name, so that mmengine's registries hold them."""
    own = (
        "backbones",
        "data",
        "views",
        "objectives",
        "hooks",
        "engine",
        "engine.hooks",
        "upsampling",
    )
    for package in (*(f"pretrain.{name}" for name in own), "heads.upsamplers"):
        root = importlib.import_module(package)
        for module in pkgutil.iter_modules(root.__path__):
            if not module.ispkg:
                importlib.import_module(f"{root.__name__}.{module.name}")
    importlib.import_module("pretrain.model")


def check_config(cfg: Config) -> Settings:
    """Checks every key of a config and returns its typed sections. Builds nothing.

    Top-level names that begin with an underscore are the config file's own helpers and are left
    alone.

    Raises:
        ConfigError: the first mistake found; names the key, its value and what is legal.
    """
    known = [*REGISTRIES, *SECTIONS, *PLAIN]
    for key in cfg:
        if key not in known and not key.startswith("_"):
            hint = did_you_mean(key, known)
            raise ConfigError(
                f"{key}: unknown top-level key{hint} (helper variables begin with an underscore)"
            )
    for key in REQUIRED:
        if key not in cfg:
            raise ConfigError(f"{key}: missing; a config needs {', '.join(REQUIRED)}")
    for key, annotation in PLAIN.items():
        if key in cfg and not matches(cfg[key], annotation):
            raise ConfigError(f"{key}={cfg[key]!r}: must be {spell(annotation)}")
    # NumPy's global generator takes no other seeds.
    require(
        0 <= cfg.get("seed", 0) < 2**32, "seed", cfg.get("seed"), "an integer from 0 to 2**32 - 1"
    )
    settings = Settings(
        **{key: read_section(cls, key, cfg.get(key)) for key, cls in SECTIONS.items()}
    )
    register_all()
    for key, registry in REGISTRIES.items():
        if cfg.get(key) is not None:
            _check_section(key, registry, cfg[key])
    return settings


def _check_section(key: str, registry: Registry, value: Any) -> None:
    """Checks one registry section, see :data:`REGISTRIES`."""
    if key in ("hooks", "vis_backends"):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{key}={value!r}: must be a list of dicts with a 'type'")
        for index, item in enumerate(value):
            _check_object(f"{key}[{index}]", registry, item, SUPPLIED.get(key, set()))
    else:
        _check_object(key, registry, value, SUPPLIED.get(key, set()))
    if key == "optimizer" and "lr" in value:
        raise ConfigError(
            "optimizer.lr: the rate belongs in schedule (lr_per_256, or lr with lr_rule='none')"
        )


def _check_object(place: str, registry: Registry, value: Any, supplied: set[str]) -> None:
    """Checks a registry dict: its type, the names and simple types of its arguments, and those of
    dicts within it.
    """
    # A name, because the config is written into checkpoints as source and read back, which classes
    # do not survive.
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ConfigError(
            f"{place}={value!r}: must be a dict whose 'type' is a name in the {registry.name} "
            "registry"
        )
    cls = registry.get(value["type"])
    if cls is None:
        hint = did_you_mean(value["type"], registry.module_dict)
        raise ConfigError(
            f"{place}.type={value['type']!r}: not in the {registry.name} registry{hint}"
        )
    arguments = {name: item for name, item in value.items() if name != "type"}
    legal, open_ended = _arguments(cls)
    for name, item in arguments.items():
        if name not in legal and name not in supplied and not open_ended:
            options = (set(legal) | supplied) - {"params", "features", "lr"}
            hint = did_you_mean(name, options) + _of_earlier_type(place, name, options)
            raise ConfigError(f"{place}.{name}: {cls.__name__} has no such argument{hint}")
        if name in legal and not matches(item, legal[name]):
            raise ConfigError(
                f"{place}.{name}={item!r} is {kind(item)}; {cls.__name__} takes "
                f"{spell(legal[name])}"
            )
        _check_inside(f"{place}.{name}", registry, item, supplied)


def _of_earlier_type(place: str, name: str, options: Iterable[str]) -> str:
    """Returns a hint for an argument like no legal one: overriding a type keeps the old one's
    arguments.
    """
    if suggestion(name, options) or "[" in place:
        return ""
    return (
        f". If {place}.type was overridden, the old arguments stay unless {place}._delete_=True "
        "is added"
    )


def _check_inside(place: str, registry: Registry, item: Any, supplied: set[str]) -> None:
    """Descends into nested registry dicts, wherever they are."""
    if isinstance(item, Mapping):
        if "type" in item:
            _check_object(place, registry, item, supplied)
    elif isinstance(item, (list, tuple)):
        for index, part in enumerate(item):
            _check_inside(f"{place}[{index}]", registry, part, supplied)


def _arguments(cls: Any) -> tuple[dict[str, Any], bool]:
    """Returns {argument: annotation} of a constructor and whether it takes any other names
    (``**options``).
    """
    target = cls.__init__ if inspect.isclass(cls) else cls
    try:
        hints = typing.get_type_hints(target)
    except Exception:
        hints = {}  # annotations of third-party classes may not resolve; names are still checked
    named, open_ended = {}, False
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL and name != "self":
            named[name] = hints.get(name, Any)
    return named, open_ended


def check_sizes(model: nn.Module, views: Mapping[str, Sequence[Any]]) -> None:
    """Checks that the networks take the views that objectives read.

    Args:
        model: with ``objectives`` and, as a rule, a ``backbone`` that can tell (``check_size``), as
            its ``reference``, if it has one, then can.
        views: view group -> what the recipe makes, each with a ``size`` (H, W).

    Raises:
        ConfigError: names the view.
    """
    check = getattr(getattr(model, "backbone", None), "check_size", None)
    if check is None:
        return
    trained: set[str] = set()
    frozen: set[str] = set()
    for objective in model.objectives:
        needs = objective.needs
        trained.update(needs.online, needs.masked, needs.may_read, needs.target, needs.images)
        frozen.update(needs.reference)
    _check_groups(check, sorted(trained), views)
    if frozen:
        _check_groups(model.reference.check_size, sorted(frozen), views)


def _check_groups(
    check: Callable[[tuple[int, int]], None],
    groups: Iterable[str],
    views: Mapping[str, Sequence[Any]],
) -> None:
    """Checks all views of the groups with the ``check_size`` of a network."""
    for group in groups:
        sized = [view for view in views.get(group, ()) if hasattr(view, "size")]
        for index, view in enumerate(sized):
            try:
                check(view.size)
            except ValueError as error:
                raise ConfigError(f"views.groups.{group}[{index}].size: {error}") from error


def check_twins(objectives: Iterable[Any], views: Mapping[str, Sequence[Any]]) -> None:
    """Checks that groups repeat those that objectives compare them with, view by view.

    Args:
        objectives: objective modules.
        views: view group -> what the recipe makes, each with ``same_as``.

    Raises:
        ConfigError: names the objective, the group and what it should hold.
    """
    for objective in objectives:
        for group, other in objective.needs.twins:
            wanted = [(other, index) for index in range(len(views[other]))]
            actual = [getattr(view, "same_as", None) for view in views[group]]
            if actual != wanted:
                repeats = ", ".join(f"dict(size=…, same_as={place})" for place in wanted)
                raise ConfigError(
                    f"views.groups.{group}: {type(objective).__name__} compares its views with "
                    f"those of {other!r} one by one, so it must be [{repeats}]"
                )


def check_upright(objectives: Iterable[Any], views: Mapping[str, Sequence[Any]]) -> None:
    """Checks that no view is turned of those that an objective lays a common grid into.

    Args:
        objectives: objective modules.
        views: view group -> what the recipe makes, each with ``rotation`` and ``same_as``.

    Raises:
        ConfigError: names the objective and the view.
    """
    turned = set()
    for group, specs in views.items():
        for index, spec in enumerate(specs):
            own_group, own_index = spec.same_as or (group, index)
            if views[own_group][own_index].rotation > 0:
                turned.add((group, index))
    for objective in objectives:
        needs = objective.needs
        affected = sorted(view for view in turned if view[0] in (*needs.groups, *needs.may_read))
        if needs.upright and affected:
            group, index = affected[0]
            raise ConfigError(
                f"views.groups.{group}[{index}]: {type(objective).__name__} lays a grid into the "
                "region that two views share, which is no box where one is turned; set rotation=0"
            )


def check_wiring(
    objectives: Iterable[Any],
    groups: Mapping[str, int],
    *,
    labelled: bool,
    classes: int | None = None,
    reason: str = "",
) -> None:
    """Checks that every objective finds the views and labels it needs.

    Args:
        objectives: objective modules.
        groups: view group -> number of views that the recipe makes.
        labelled: whether the source carries labels.
        classes: how many classes the source's labels name; None if not known.
        reason: why the source has no labels, in words; empty if not known.

    Raises:
        ConfigError: names the objective, what it reads and what there is.
    """
    for objective in objectives:
        name, needs = type(objective).__name__, objective.needs
        for group in needs.groups:
            if group not in groups:
                raise ConfigError(
                    f"objective {name} reads view group {group!r}, but the recipe makes "
                    f"{', '.join(map(repr, groups))}{did_you_mean(group, groups)}"
                )
            if groups[group] < needs.views:
                raise ConfigError(
                    f"objective {name} needs {needs.views} views in group {group!r}, the recipe "
                    f"makes {groups[group]}"
                )
        if needs.labels and not labelled:
            raise ConfigError(
                f"objective {name} needs labels, but the source has "
                f"none{f' ({reason})' if reason else ''}; use a source with one folder per "
                "class, or an objective that needs none"
            )
        known = getattr(objective, "num_classes", None)
        if None not in (known, classes) and classes > known:
            raise ConfigError(
                f"objective {name}: num_classes={known}, but the source has {classes} classes; "
                "give it as many"
            )
