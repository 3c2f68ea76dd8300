"""Reading config files and overriding their settings, with every mistake as one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from pretrain.command_line import read_pairs
from pretrain.engine.settings import ConfigError
from pretrain.places import find_config


def read_config(name: str | Path, *, folder: str = "") -> Config:
    """Reads a config file.

    Args:
        name, folder: a path or a config's name, see :func:`pretrain.places.find_config`.

    Raises:
        ConfigError: the file is no config, running it fails, or a file that it builds on is
            missing; names the file and the cause.
        OSError: the file is missing or unreadable.
    """
    path = find_config(name, folder=folder)
    try:
        return Config.fromfile(path)
    except OSError as error:
        if error.filename is None or Path(error.filename) == path:
            raise
        raise ConfigError(
            f"{path}: builds on {error.filename}: {error.strerror}; see its _base_"
        ) from error
    except Exception as error:  # a config is a program: anything may come out of it
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error


def read_options(items: Iterable[str]) -> dict[str, Any]:
    """Reads ``--cfg-options``: numbers, true, false, None, lists with commas or brackets, else
    text.

    Raises:
        ValueError: see :func:`pretrain.command_line.read_pairs`; brackets that do not close.
    """
    return read_pairs(items, option="--cfg-options", example="schedule.epochs=50", parse=_value)


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Overrides settings by their dotted keys, in place; all at once, so that ``_delete_`` counts
    for its neighbours.

    Raises:
        ConfigError: a key that leads through something that has no such part, as
            ``model.objectives.5.x`` of two objectives.
    """
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        written = " ".join(f"{key}={value}" for key, value in options.items())
        raise ConfigError(
            f"--cfg-options {written}: the config has nothing there to override ({reason})"
        ) from error


def require_honoured(
    cfg: Config, options: Mapping[str, Any], *, instead: Mapping[str, str] | None = None
) -> None:
    """Refuses overrides that something set otherwise later: a record would say what did not run.

    Args:
        cfg: as it will run.
        options: the overrides by dotted key.
        instead: {beginning of dotted keys: what to do instead}.

    Raises:
        ConfigError: names the override, what it is in the config, and what to do.
    """
    values, cures = cfg.to_dict(), instead or {}
    for key, asked in options.items():
        if key.rpartition(".")[2] == "_delete_":  # it did its work when it was merged
            continue
        for path, wanted, actual in _unlike(key, asked, _at(values, key)):
            fitting = (text for start, text in cures.items() if _starts(path, start))
            cure = next(fitting, "leave it out")
            raise ConfigError(
                f"--cfg-options {path}={wanted}: it would have no effect, because the program "
                f"itself sets it to {actual}; {cure}"
            )


_ABSENT = "nothing"


def _starts(path: str, start: str) -> bool:
    return path == start or path.startswith(start + ".")


def _at(config: Any, key: str) -> Any:
    """What stands at a dotted key; numbers count places of a list."""
    for part in key.split("."):
        if isinstance(config, list | tuple):
            config = config[int(part)] if int(part) < len(config) else _ABSENT
        else:
            config = config.get(part, _ABSENT) if isinstance(config, Mapping) else _ABSENT
    return config


def _unlike(path: str, asked: Any, actual: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields (dotted key, asked, actual) of every leaf that differs; more beside what was asked for
    is fine.
    """
    if isinstance(asked, Mapping) and isinstance(actual, Mapping):
        for key, value in asked.items():
            if key != "_delete_":
                yield from _unlike(f"{path}.{key}", value, actual.get(key, _ABSENT))
    elif (
        _is_list_of_dicts(asked) and isinstance(actual, list | tuple) and len(actual) >= len(asked)
    ):
        for index, value in enumerate(asked):
            yield from _unlike(f"{path}.{index}", value, actual[index])
    elif _as_lists(asked) != _as_lists(actual):
        yield path, asked, actual


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _value(text: str) -> Any:
    # mmengine takes every blank out of a value, and so ruins paths; a value that is no list needs
    # no such thing.
    if "," not in text and not text.startswith(("(", "[")):
        return DictAction._parse_int_float_bool(text.strip("'\""))
    try:
        return DictAction._parse_iterable(text)
    except AssertionError as error:
        raise ValueError(f"--cfg-options: {error}") from error
