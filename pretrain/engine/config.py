"""Configs that can be written out and read back whatever their keys are."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.config import Config

from pretrain.engine.settings import ConfigError


class PretrainConfig(Config):
    """mmengine's Config, printed as one assignment per section.

    mmengine prints dicts as ``dict(key=...)``, which is no Python where a key is a keyword, such as the view group
    ``global``; printing, and with it TensorBoard and every checkpoint, would fail.
    """

    @property
    def pretty_text(self) -> str:
        """The config as Python source that ``Config.fromfile`` reads."""
        return "".join(
            f"{key} = {pformat(value, width=110, sort_dicts=False)}\n" for key, value in self.to_dict().items()
        )


def parse(text: str) -> Config:
    """Returns the config that :attr:`PretrainConfig.pretty_text` printed. Reads values only, runs no code.

    Raises:
        ValueError: anything but assignments of plain values.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f"no config that this engine wrote: {error}") from error
    values = {}
    for statement in statements:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError(f"no config that this engine wrote: line {statement.lineno} is no assignment to a name")
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return Config(values)


def read_config(path: str | Path) -> Config:
    """Reads a config file.

    Raises:
        ConfigError: no such file, one of its ``_base_`` files is missing, or Python cannot run it; says where.
    """
    if not Path(path).is_file():
        raise ConfigError(f"no config file {str(path)!r}; configs end in .py and lie in configs/")
    try:
        return Config.fromfile(path)
    except FileNotFoundError as error:
        missing = error.filename or error
        raise ConfigError(f"{path}: a file that it builds on is missing: {missing}; see its _base_") from error
    except SyntaxError as error:
        raise ConfigError(f"{path}: no Python, line {error.lineno}: {error.msg}") from error
    except Exception as error:  # a config is a program, which may raise anything
        raise ConfigError(f"{path}: cannot be read as a config: {type(error).__name__}: {error}") from error


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Changes settings in place.

    Args:
        cfg: is changed.
        options: by dotted key, such as ``{"schedule.lr": 0.1, "model.objectives.0.hidden": 64}``.

    Raises:
        ConfigError: names the key that leads nowhere.
    """
    for key in options:
        _require_way(cfg, key)
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        keys = ", ".join(options)
        raise ConfigError(f"{keys}: cannot be set: {error.args[0] if error.args else error}") from error


def _require_way(cfg: Config, key: str) -> None:
    """Raises a :class:`ConfigError` if a dotted key passes through a list without that place, or through no dict."""
    here: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        place = ".".join(parts[:depth])
        if isinstance(here, (list, tuple)):
            if not part.isdecimal() or int(part) >= len(here):
                legal = f"places 0 to {len(here) - 1}" if here else "no places: it is empty"
                raise ConfigError(f"{key}: {place} is a list with {legal}, {part!r} is none of them")
            here = here[int(part)]
        elif isinstance(here, Mapping) or depth == 0:
            here = here.get(part)
        elif here is not None:
            raise ConfigError(f"{key}: {place}={here!r} is no dict, so there is no {part!r} in it")
        if here is None:
            return  # a new setting: check_config knows whether it is legal
