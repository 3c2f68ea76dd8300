"""Reading config files and overriding their settings, with every mistake as one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from pretrain.command_line import read_pairs
from pretrain.engine.settings import ConfigError


def read_config(path: str | Path) -> Config:
    """Reads a config file.

    Raises:
        ConfigError: the file is no config, or running it fails; names the file and the cause.
        OSError: the file is missing or unreadable.
    """
    try:
        return Config.fromfile(path)
    except OSError:
        raise
    except Exception as error:  # a config is a program: anything may come out of it
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error


def read_options(items: Iterable[str]) -> dict[str, Any]:
    """Reads ``--cfg-options``: numbers, true, false, None, lists with commas or brackets, else text.

    Raises:
        ValueError: see :func:`pretrain.command_line.read_pairs`; brackets that do not close.
    """
    return read_pairs(items, option="--cfg-options", example="schedule.epochs=50", parse=_value)


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Overrides settings by their dotted keys, in place; all at once, so that ``_delete_`` counts for its neighbours.

    Raises:
        ConfigError: a key that leads through something that has no such part, as ``model.objectives.5.x`` of two
            objectives.
    """
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        written = " ".join(f"{key}={value}" for key, value in options.items())
        raise ConfigError(f"--cfg-options {written}: the config has nothing there to override ({reason})") from error


def _value(text: str) -> Any:
    # mmengine takes every blank out of a value, and so ruins paths; a value that is no list needs no such thing.
    if "," not in text and not text.startswith(("(", "[")):
        return DictAction._parse_int_float_bool(text.strip("'\""))
    try:
        return DictAction._parse_iterable(text)
    except AssertionError as error:
        raise ValueError(f"--cfg-options: {error}") from error
