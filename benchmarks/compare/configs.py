"""Resolved configs: merging overrides, writing, hashing and comparing them.

Everything here works on plain dicts, so that two configs are equal exactly when their written forms
are.
"""

from __future__ import annotations

import ast
import hashlib
import json
import pprint
from pathlib import Path
from typing import Any

from benchmarks.compare.names import PlanError
from pretrain import places
from pretrain.files import atomic_write
from pretrain.names import suggestion

# Changing these changes when files are written or how fast, not what is learnt: a finished trial
# stays valid.
HARMLESS = (
    "work_dir",
    "vis_backends",
    "loader.workers",
    "engine.checkpoint_every",
    "engine.keep_checkpoints",
    "engine.log_every",
)
# Keys an engine config may have even where the recipe leaves them out.
OPTIONAL_KEYS = (
    "hooks",
    "vis_backends",
    "load_from",
    "custom_imports",
    "engine",
    "loader",
    "optimizer",
    "schedule",
    "seed",
)


def find_config(name: str | Path, where: str, *, folder: str = "") -> Path:
    """Returns the file of a config, see :func:`pretrain.places.find_config`.

    Raises:
        PlanError: there is none; ``where`` says who asked for it.
    """
    try:
        return places.find_config(name, folder=folder)
    except FileNotFoundError as error:
        raise PlanError(f"{where}: {error}") from None


def plain(value: Any) -> Any:
    """Returns ``value`` with mmengine's dict classes turned into dicts, at all depths; lists and
    tuples stay.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


def load_config(path: Path, *changes: dict[str, Any], where: str) -> dict[str, Any]:
    """Reads a recipe and merges overrides in order (dotted keys as in ``--cfg-options``;
    ``_delete_`` is honoured, ``custom_imports`` are imported).

    Raises:
        PlanError: an override changes a key below something that the recipe does not have.
    """
    # Imported here, because a trial's process needs the rest of this file without torch.
    from mmengine.utils import import_modules_from_strings

    from pretrain.engine.config_file import read_config

    config = read_config(path)
    for change in changes:
        for key in change:
            _check_override(config.to_dict(), key, where)
        config.merge_from_dict(plain(change))
        if "custom_imports" in change:  # those of the file were imported when it was read
            try:
                import_modules_from_strings(**plain(change["custom_imports"]))
            except (ImportError, TypeError) as error:
                raise PlanError(f"{where}: custom_imports: {error}") from error
    return without_helpers(config.to_dict())


def without_helpers(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the :func:`plain` values of a config file without those whose names begin with an
    underscore: they are the file's own helpers.
    """
    return {key: value for key, value in plain(values).items() if not key.startswith("_")}


def _check_override(config: Any, key: str, where: str) -> None:
    """Raises unless every parent of the dotted ``key`` exists in ``config``; its last part may be
    new below the top.
    """
    *parents, last = key.split(".")
    at = config
    for depth, part in enumerate(parents or [last]):
        if isinstance(at, list | tuple):
            known = list(map(str, range(len(at))))
        else:
            known = [*at, *(OPTIONAL_KEYS if depth == 0 else ())] if isinstance(at, dict) else []
        if part not in known:
            raise PlanError(
                f"{where}: override {key!r}: the config has no {part!r}{suggestion(part, known)}; "
                f"there is: {', '.join(known)}"
            )
        at = at[int(part)] if isinstance(at, list | tuple) else at.get(part, {})


def refuse_set_later(overrides: dict[str, Any], where: str) -> None:
    """Refuses overrides, however nested, of what the comparison sets in every trial: they would not
    count.
    """
    named = flatten(overrides)
    for key in ("schedule.samples", "schedule.epochs", "seed"):
        if key in named:
            raise PlanError(
                f"{where}: override {key!r}: the comparison's budget and seeds set this"
            )
    if "work_dir" in named:
        raise PlanError(
            f"{where}: override 'work_dir': every trial has its own folder in the plan's"
        )


def write_config(config: dict[str, Any], path: Path, header: str = "") -> None:
    """Writes a config as a Python file that mmengine reads back to an equal dict.

    Raises:
        PlanError: a value has no literal form (a class, a function, nan); use registry names
            instead.
    """
    lines = [f"# {line}" for line in header.splitlines()]
    for key, value in config.items():
        text = pprint.pformat(value, width=110, sort_dicts=False)
        try:
            same = ast.literal_eval(text) == value
        except (ValueError, SyntaxError):
            same = False
        if not same:
            raise PlanError(
                f"config key {key!r} cannot be written as text: {text[:120]}; use strings, "
                "numbers, lists, dicts"
            )
        lines.append(f"{key} = {text}")
    atomic_write(path, "\n".join(lines) + "\n")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Returns dotted key -> leaf value; empty dicts and lists, and lists of plain values, are
    leaves.
    """
    if isinstance(config, dict) and config:
        items = config.items()
    elif isinstance(config, list | tuple) and any(isinstance(item, dict) for item in config):
        items = enumerate(config)
    else:
        return {prefix: list(config) if isinstance(config, tuple) else config}
    flat = {}
    for key, value in items:
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def relevant(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the flattened config without the keys in ``HARMLESS``."""
    below = tuple(f"{key}." for key in HARMLESS)
    flat = {}
    for key, value in flatten(config).items():
        if key not in HARMLESS and not key.startswith(below):
            flat[key] = value
    return flat


def inherited(path: str | Path) -> list[Path]:
    """Returns a config file and all it inherits from, itself first, but for bases in libraries
    (``mmdet::…``).
    """
    path = Path(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bases: str | list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
            bases = ast.literal_eval(node.value)
    files = [path]
    for base in [bases] if isinstance(bases, str) else bases:
        if "::" not in base:
            files += inherited(path.parent / base)
    return files


def config_hash(value: Any) -> str:
    """Returns the first 12 hex digits of the sha256 of the canonical JSON of ``value`` (tuples
    count as lists).
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()[:12]


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Returns one ``key: old → new`` line per flattened key in which two configs differ."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "(absent)"), new.get(key, "(absent)")
        if config_hash(before) != config_hash(after):
            lines.append(f"{key}: {before} → {after}")
    return lines
