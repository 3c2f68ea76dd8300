"""Upsamplers by name, as command lines give them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from mmengine.registry import MODELS

from benchmarks.core.extractor import parse_spec
from benchmarks.weights.checkpoint import read_checkpoint, state_fingerprint
from heads.upsamplers.base import Upsampler
from pretrain.annotations import fit_all
from pretrain.names import check_choice
from pretrain.state_dicts import refuse_non_finite

_PREFIX, _BACKBONE = (
    "upsampler.",
    "backbone.",
)  # of the keys in a checkpoint of an upsampler's training


class _Kind(NamedTuple):
    """How a kind of upsampler is made: the class, arguments its name stands for, what file it
    needs.
    """

    module: str
    name: str
    arguments: dict[str, Any] = {}
    # "", trained (by us: its config is in the file), foreign (the class reads the file), repository
    # (the class runs somebody's repository with a file of weights)
    file: str = ""


_KINDS = {
    "nearest": _Kind("heads.upsamplers.interpolation", "Interpolation", dict(mode="nearest")),
    "bilinear": _Kind("heads.upsamplers.interpolation", "Interpolation", dict(mode="bilinear")),
    "bicubic": _Kind("heads.upsamplers.interpolation", "Interpolation", dict(mode="bicubic")),
    "guided": _Kind("heads.upsamplers.guided_filter", "GuidedFilter"),
    "bilateral": _Kind("heads.upsamplers.bilateral", "JointBilateral"),
    "jbu": _Kind("heads.upsamplers.jbu", "JBUStack", file="trained"),
    "neighbourhood": _Kind(
        "heads.upsamplers.neighbourhood", "NeighbourhoodUpsampler", file="trained"
    ),
    "implicit": _Kind("pretrain.upsampling.implicit", "ImplicitUpsampler"),
    "featup": _Kind("heads.upsamplers.featup_checkpoint", "load_featup", file="foreign"),
    "anyup": _Kind("heads.upsamplers.wrappers", "AnyUp", file="repository"),
    "naf": _Kind("heads.upsamplers.wrappers", "NAF", file="repository"),
    "loftup": _Kind("heads.upsamplers.wrappers", "LoftUp", file="repository"),
}
KINDS = ("none", *_KINDS)


def load_upsampler(
    spec: str, device: torch.device | str = "cpu", *, channels: int | None = None
) -> Upsampler | None:
    """Builds a frozen upsampler from a spec; imports no more than what it needs.

    Args:
        spec: ``none``, ``nearest``, ``bilinear``, ``bicubic``, ``guided``, ``bilateral``,
            ``implicit``; ``jbu:PATH`` and ``neighbourhood:PATH`` (checkpoints of
            ``tools/train_upsampler.py``); ``featup:PATH`` (a published file); ``anyup:FILE``,
            ``naf:FILE``, ``loftup:FILE`` (published weights inside a clone of their repository, or
            with ``?repository=FOLDER``; ``anyup:FOLDER?weights=FILE`` says the same).
            ``?key=value&…`` sets an option of those that are not trained by us, such as
            ``guided?radius=3``.
        device: Where it runs.
        channels: Width of the features to come, checked before anything is upsampled: against the
            upsampler's config, or, where the width is in somebody's weights, on one small map. None
            checks nothing.

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
    source, _, query = spec.partition("?")
    kind, colon, path = source.partition(":")
    check_choice("upsampler", kind, KINDS)
    options = parse_spec(f"{kind}?{query}")[1] if query else {}
    needs_file = kind != "none" and bool(_KINDS[kind].file)
    if needs_file != bool(path):
        wanted = f"{kind}:PATH" if needs_file else f"{kind!r} alone, it reads no file"
        raise ValueError(f"upsampler {spec!r}: write {wanted}")
    if kind == "none":
        return None
    if _KINDS[kind].file == "trained" and options:
        raise ValueError(
            f"upsampler {spec!r}: its options are in the file, none can be set "
            f"({', '.join(options)})"
        )
    upsampler = (
        _from_training(kind, path)
        if _KINDS[kind].file == "trained"
        else _made(spec, kind, path, options)
    )
    refuse_non_finite(upsampler.state_dict(), f"upsampler {spec!r}")
    upsampler = upsampler.to(device).eval().requires_grad_(False)
    _check_channels(spec, upsampler, channels)
    upsampler.spec = spec
    return upsampler


def _made(spec: str, kind: str, path: str, options: dict[str, Any]) -> Upsampler:
    """An upsampler of options alone, or of a file that its own class reads."""
    make = _class_of(kind)
    if path and not Path(path).exists():
        raise FileNotFoundError(f"upsampler {spec!r}: no file {path}")
    if _KINDS[kind].file == "repository":
        options = _repository(spec, kind, Path(path), options)
        path = ""
    weights = options.get("weights") or path
    if weights and Path(weights).is_file():
        read_checkpoint(
            weights
        )  # says what a file is that is no checkpoint; the classes know torch alone
    options = fit_all(options, make, where=f"upsampler {spec!r}: ")
    try:
        return make(*([path] if path else []), **_KINDS[kind].arguments, **options)
    except (
        TypeError,
        RuntimeError,
    ) as error:  # an unknown option, one of a wrong kind, or a package that is absent
        raise ValueError(f"upsampler {spec!r}: {error}") from error


def _repository(spec: str, kind: str, path: Path, options: dict[str, Any]) -> dict[str, Any]:
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
    above = (folder for folder in path.resolve().parents if (folder / "hubconf.py").is_file())
    repository = options.get("repository") or next(above, None)
    if repository is None:
        raise ValueError(
            f"upsampler {spec!r}: weights alone are not enough, the network is in its authors' "
            f"repository; clone it and write {kind}:{path}?repository=FOLDER"
        )
    return options | dict(repository=str(repository), weights=str(path))


def _from_training(kind: str, path: str) -> Upsampler:
    """An upsampler from a checkpoint of our training: ``meta["upsampler"]`` and the keys under
    ``upsampler.``.
    """
    content = read_checkpoint(path)
    meta = content.get("meta") if isinstance(content.get("meta"), dict) else {}
    if "upsampler" not in meta or not isinstance(content.get("state_dict"), dict):
        raise ValueError(
            f"{path} is no checkpoint of an upsampler's training: it lacks meta['upsampler']; a "
            "file published with FeatUp is 'featup:PATH', a backbone is named in the place of "
            "the network"
        )
    found, wanted = meta["upsampler"].get("type"), _KINDS[kind].name
    if found != wanted:
        other = next(
            (k for k, v in _KINDS.items() if v.name == found and v.file == "trained"), None
        )
        raise ValueError(
            f"{path} holds a {found}, not a {wanted}{f'; write {other}:{path}' if other else ''}"
        )
    _class_of(kind)  # registers it
    upsampler = MODELS.build(dict(meta["upsampler"]))
    state = {
        k[len(_PREFIX) :]: v for k, v in content["state_dict"].items() if k.startswith(_PREFIX)
    }
    own = upsampler.state_dict()
    wrong = own.keys() ^ state.keys() | {
        k for k in own.keys() & state.keys() if own[k].shape != state[k].shape
    }
    if wrong:
        raise ValueError(
            f"{path} does not fit the {found} it describes: {len(wrong)} keys differ, the first "
            f"{sorted(wrong)[:3]}"
        )
    upsampler.load_state_dict(state)
    backbone = {
        k.removeprefix(_BACKBONE): v
        for k, v in content["state_dict"].items()
        if k.startswith(_BACKBONE)
    }
    upsampler.trained_on = dict(
        backbone=meta.get("backbone"), fingerprint=state_fingerprint(backbone) if backbone else None
    )
    return upsampler


def _class_of(kind: str) -> Any:
    return getattr(importlib.import_module(_KINDS[kind].module), _KINDS[kind].name)


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


def _check_channels(spec: str, upsampler: Upsampler, channels: int | None) -> None:
    """Refuses features of another width than the upsampler's, where it has one."""
    if channels is not None and hasattr(upsampler, "try_width"):
        try:
            upsampler.try_width(channels)
        except ValueError as error:
            raise ValueError(
                f"upsampler {spec!r} does not take the network's features of {channels} channels: "
                f"{error}"
            ) from error
    own = upsampler.config.get("channels")
    if channels is not None and own is not None and own != channels:
        raise ValueError(
            f"upsampler {spec!r} is for features of {own} channels, the network has {channels}; "
            "one that mixes channels belongs to the backbone it was trained with: train one "
            "for this network, or take one for any "
            f"({', '.join(k for k, v in _KINDS.items() if not v.file)}, neighbourhood)"
        )
