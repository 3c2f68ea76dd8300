"""Upsamplers by name, as command lines give them. Which names there are the classes say."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from mmengine.registry import MODELS

from benchmarks.weights.checkpoint import Checkpoint
from heads.upsamplers.base import Upsampler
from pretrain.annotations import fit_all
from pretrain.names import check_choice, check_names
from pretrain.specs import split_options
from pretrain.state_dicts import refuse_non_finite
from pretrain.weights.layouts import UPSAMPLERS

NONE = "none"
_ROOMS = ("heads.upsamplers", "pretrain.upsampling")  # where classes of upsamplers are


def kinds(*sources: str) -> dict[str, type[Upsampler]]:
    """Returns {name in specs: class} of all registered upsamplers, sorted by name.

    Args:
        sources: takes only classes whose :attr:`Upsampler.source` is one of these; none takes all.
    """
    for room in _ROOMS:
        for module in pkgutil.iter_modules(importlib.import_module(room).__path__):
            importlib.import_module(f"{room}.{module.name}")
    table = {}
    for cls in filter(inspect.isclass, MODELS.module_dict.values()):
        if issubclass(cls, Upsampler) and (not sources or cls.source in sources):
            table |= dict.fromkeys(cls.kinds(), cls)
    return dict(sorted(table.items()))


def build_kind(kind: str, **options: Any) -> Upsampler:
    """Builds an upsampler of :func:`kinds` without a file: one to be trained has random weights."""
    cls = kinds()[kind]
    return cls(**cls.kinds()[kind], **options)


def load_upsampler(
    spec: str, device: torch.device | str = "cpu", *, channels: int | None = None
) -> Upsampler | None:
    """Builds a frozen upsampler from a spec.

    Args:
        spec: ``none``, or a name of :func:`kinds`: alone (``bilinear``), with a checkpoint of
            ``pixelpretext train-upsampler`` (``jbu:PATH``), or with published weights inside a
            clone of their repository (``anyup:FILE``, or ``anyup:FILE?repository=FOLDER``, or
            ``anyup:FOLDER?weights=FILE``); or a layout of published files (``featup:PATH``).
            ``?key=value&…`` sets an option of those that are not trained by us, such as
            ``guided?radius=3``.
        device: Where it runs.
        channels: Width of the features to come, see :func:`require_width`; None checks nothing.

    Returns:
        In eval mode, without gradients; ``spec`` is what it was called, ``trained_on`` the
        backbone's config and fingerprint where the file tells, ``report`` an account of a foreign
        file's keys where its reader gives one. None for ``none``.

    Raises:
        ValueError: unknown kind (with a suggestion) or option, a file missing from the spec or one
            too many, a file that holds another upsampler or does not fill it, an upsampler for
            features of another width.
        FileNotFoundError: no such file.
    """
    kind, path, options = _parse(spec)
    if kind == NONE:
        return None
    if _origin(kind) in ("layout", "trained"):
        upsampler = _from_checkpoint(kind, path)
    else:
        upsampler = _build(spec, kind, options)
    refuse_non_finite(upsampler.state_dict(), f"upsampler {spec!r}")
    upsampler = upsampler.to(device).eval().requires_grad_(False)
    upsampler.spec = spec
    if channels is not None:
        require_width(upsampler, channels)
    return upsampler


def require_width(upsampler: Upsampler, channels: int) -> None:
    """Makes sure that an upsampler takes features of a width, before anything is upsampled.

    Against its config; or, where the width is in somebody's weights, on one small map.

    Args:
        upsampler: of :func:`load_upsampler`.
        channels: width of the features to come.

    Raises:
        ValueError: it does not take them.
    """
    if hasattr(upsampler, "try_width"):
        try:
            upsampler.try_width(channels)
        except ValueError as error:
            raise ValueError(
                f"upsampler {upsampler.spec!r} does not take the network's features of {channels} "
                f"channels: {error}"
            ) from error
    own = upsampler.config.get("channels")
    if own is not None and own != channels:
        free = []
        for kind, cls in kinds("", "trained", "image").items():
            if "channels" not in inspect.signature(cls).parameters:
                free.append(kind)
        raise ValueError(
            f"upsampler {upsampler.spec!r} is for features of {own} channels, the network has "
            f"{channels}; one that mixes channels belongs to the backbone it was trained with: "
            f"train one for this network, or take one for any ({', '.join(free)})"
        )


def _origin(kind: str) -> str:
    """The :attr:`Upsampler.source` of a kind; "layout" for files that others published alone."""
    return "layout" if kind in UPSAMPLERS else getattr(kinds().get(kind), "source", "")


def _parse(spec: str) -> tuple[str, str, dict[str, Any]]:
    """Splits a spec into kind, path and options; the path of a repository goes to the options.

    Raises:
        ValueError: an unknown kind, a file missing or one too many, options of a file's own.
        FileNotFoundError: no such file.
    """
    source, _, query = spec.partition("?")
    kind, _, path = source.partition(":")
    check_choice("upsampler", kind, (NONE, *kinds(), *UPSAMPLERS))
    options = split_options(spec)[1] if query else {}
    origin = _origin(kind)
    needs_file = origin in ("layout", "trained", "repository")
    if needs_file != bool(path):
        wanted = f"{kind}:PATH" if needs_file else f"{kind!r} alone, it reads no file"
        raise ValueError(f"upsampler {spec!r}: write {wanted}")
    if path and not Path(path).exists():
        raise FileNotFoundError(f"upsampler {spec!r}: no file {path}")
    if origin == "repository":
        return kind, path, _repository(spec, kind, path=Path(path), options=options)
    if options and origin in ("layout", "trained"):
        raise ValueError(
            f"upsampler {spec!r}: its options are in the file, none can be set "
            f"({', '.join(options)})"
        )
    return kind, path, options


def _from_checkpoint(kind: str, path: str) -> Upsampler:
    """An upsampler whose file says all of it."""
    checkpoint = Checkpoint.read(path)
    if kind in UPSAMPLERS:
        return checkpoint.upsampler(kind)
    _require_kind(checkpoint, kind)
    return checkpoint.upsampler()


def _build(spec: str, kind: str, options: dict[str, Any]) -> Upsampler:
    """An upsampler of options alone."""
    cls = kinds()[kind]
    legal = inspect.signature(cls).parameters.values()
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in legal):
        names = [parameter.name for parameter in legal if parameter.name not in cls.kinds()[kind]]
        check_names(f"option of upsampler {kind}:", options, names)
    options = fit_all(options, cls, where=f"upsampler {spec!r}: ")
    try:
        return build_kind(kind, **options)
    # An unknown option, one of a wrong kind, or a package that is absent.
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"upsampler {spec!r}: {error}") from error


def _repository(spec: str, kind: str, *, path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Returns options with ``repository`` and ``weights``, of which the path of the spec is one.

    Raises:
        ValueError: the other one is not given, and no folder above the weights is a repository.
    """
    if path.is_dir():
        if "weights" not in options:
            raise ValueError(
                f"upsampler {spec!r}: {path} is a folder; write {kind}:{path}?weights=FILE"
            )
        return options | dict(repository=str(path))
    marker = kinds()[kind].marker
    above = (folder for folder in path.resolve().parents if (folder / marker).is_file())
    repository = options.get("repository") or next(above, None)
    if repository is None:
        raise ValueError(
            f"upsampler {spec!r}: weights alone are not enough, the network is in its authors' "
            f"repository; clone it and write {kind}:{path}?repository=FOLDER"
        )
    return options | dict(repository=str(repository), weights=str(path))


def _require_kind(checkpoint: Checkpoint, kind: str) -> None:
    """Refuses a checkpoint of another upsampler than the spec names, or of none."""
    if "upsampler" not in checkpoint.meta:
        raise ValueError(
            f"{checkpoint.source} is not a checkpoint of an upsampler's training: it lacks "
            "meta['upsampler']; a file published with FeatUp is 'featup:PATH', a backbone is named "
            "as a network"
        )
    held, trained = checkpoint.meta["upsampler"].get("type"), kinds("trained")
    if held != trained[kind].__name__:
        other = [name for name, cls in trained.items() if cls.__name__ == held]
        hint = f"; write {other[0]}:{checkpoint.source}" if other else ""
        raise ValueError(
            f"{checkpoint.source} holds a {held}, not a {trained[kind].__name__}{hint}"
        )


def kind_of(spec: str) -> str:
    """The kind that a spec names: ``anyup`` of ``anyup:FILE?repository=FOLDER``."""
    return re.split("[:?]", spec, maxsplit=1)[0]


def family(spec: str) -> str:
    """What upsamplers of one kind share: ``jbu`` of ``jbu:work_dirs/jbu_3/final.pth``,
    ``guided?radius=2`` as it is.
    """
    kind, colon, path = spec.partition(":")
    if not colon:
        return spec
    folder = PurePosixPath(path.partition("?")[0]).parent.name
    return re.sub(r"_\d+$", "", folder) or kind


def foreign_backbone(upsampler: Any, fingerprint: str) -> bool:
    """Whether an upsampler that belongs to one backbone was trained with another than the one of
    this fingerprint.
    """
    known = getattr(upsampler, "trained_on", {}).get("fingerprint")
    return (
        "channels" in getattr(upsampler, "config", {})
        and known is not None
        and known != fingerprint
    )
