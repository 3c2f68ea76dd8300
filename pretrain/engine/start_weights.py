"""The weights a run begins with: those of ``load_from``, of its backbone's ``start``, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine.config import parse
from pretrain.engine.model import TrainedModel
from pretrain.engine.settings import ConfigError
from pretrain.state_dicts import prefixed, refuse_non_finite, under, unwrapped
from pretrain.weights.filling import state_fingerprint
from pretrain.weights.start import UNKNOWN, read_start

_COUNTER = "num_batches_tracked"  # of BatchNorm with a fixed momentum, which never reads it
_LEARNED_LATER = "mask_token"  # a published network has none, and one that does begins at zero
_NESTS = ("state_dict", "model")  # where files keep the weights
#: Keys of a checkpoint's ``meta`` that say what its run began with.
META = ("start", "licence")


@dataclass(frozen=True)
class StartReport:
    """What became of every tensor of a model that did not begin as it was drawn.

    Attributes:
        source: the file, or the spec of published weights.
        licence: what its weights may be used for, as far as anybody says.
        fingerprint: of the backbone as it begins.
        loaded: names filled from it.
        copied: names copied from their originals, because the file holds none of the copy.
        fresh: names that begin as they were drawn, and are trained or filled by the run.
        unused: entries of the file that the model has no place for.
        notes: what else a user should know, a sentence each.
    """

    source: str
    licence: str
    fingerprint: str
    loaded: tuple[str, ...]
    copied: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        kinds = {
            "loaded": self.loaded,
            "copied from what was loaded": self.copied,
            "fresh": self.fresh,
            "not used": self.unused,
        }
        counts = [
            f"{len(names)} {kind}{_places(names)}"
            for kind, names in kinds.items()
            if names or kind == "loaded"
        ]
        licence = f"licence of the weights: {self.licence}"
        return f"start weights from {self.source}: " + "; ".join([*counts, licence, *self.notes])

    @property
    def meta(self) -> dict[str, Any]:
        """What the ``meta`` of checkpoints keeps of it; see :data:`META`."""
        return dict(
            start=dict(source=self.source, fingerprint=self.fingerprint), licence=self.licence
        )


def begin(model: TrainedModel, cfg: Config) -> StartReport | None:
    """Brings a model that was just built to where its run begins.

    Its copies, such as target networks, are made anew from what was loaded.

    Args:
        model: on the CPU, neither wrapped nor sharded.
        cfg: the config that it was built from; read are ``load_from`` and the backbone's ``start``.

    Returns:
        What was loaded; None where the run begins with the weights that were drawn.

    Raises:
        ConfigError: as :func:`load_start` and :func:`load_backbone`, or both are named.
    """
    spec, path = getattr(model.backbone, "start", None), cfg.get("load_from")
    if spec and path:
        raise ConfigError(
            f"load_from={path!r} and model.backbone.start={spec!r}: a run begins with one of the "
            "two; leave one out"
        )
    report = None
    if spec:
        report = load_backbone(model, spec)
    elif path:
        report = load_start(model, path, cfg.model.get("objectives") or ())
    try:
        model.begun()
    except (ValueError, OSError) as error:
        raise ConfigError(f"model.reference: {error}") from error
    return report


def load_backbone(model: TrainedModel, spec: str) -> StartReport:
    """Fills the backbone, whole but for a mask token, and makes all copies of it anew.

    Args:
        model: as in :func:`begin`.
        spec: see :func:`pretrain.weights.start.read_start`.

    Raises:
        ConfigError: weights that cannot be read, do not fit, or were trained on images normalised
            otherwise than the model's. Nothing is changed then.
    """
    place = f"model.backbone.start={spec!r}"
    try:
        found = read_start(spec, model.backbone)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{place}: {error}") from error
    differing = _differing_normalisation(found.normalisation, model)
    if differing:
        raise ConfigError(
            f"{place}: these weights were trained on pixels normalised by {differing}; set "
            "model.data_preprocessor=dict(type='ViewPreprocessor', mean=…, std=…) to it"
        )
    names = {id(module): f"{name}." for name, module in model.named_modules()}
    state = prefixed(names[id(model.backbone)], found.state)
    return _fill(model, state, place=place, source=spec, licence=found.licence, notes=found.notes)


def load_start(
    model: TrainedModel, path: str, objectives: Iterable[Mapping[str, Any]] = ()
) -> StartReport:
    """Fills a model from a file and makes those of its copies anew that the file does not hold.

    The file is a checkpoint of ours, or holds the backbone alone: under ``backbone.``, or by the
    bare names of the backbone's or of timm's state dict. The backbone must be filled whole, a mask
    token aside. Heads may be lacking and then begin fresh; those of an objective of another type
    than the file's at this place are not taken.

    Args:
        model: just built, on the CPU, neither wrapped nor sharded.
        path: of the file.
        objectives: the config's objectives.

    Raises:
        ConfigError: no such file, or one that does not fit: names what is lacking or of another
            shape. Nothing is changed then.
    """
    if not Path(path).is_file():
        raise ConfigError(
            f"load_from={path!r}: no such file; give the path of a checkpoint, or leave it out"
        )
    try:
        content = read_checkpoint(path)
    except (ValueError, OSError) as error:
        raise ConfigError(f"load_from={path!r}: {error}") from error
    state, notes = _entries(content, model, path)
    left_out = _of_other_objectives(content, [*objectives])
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    differing = _differing_normalisation(meta.get("normalisation"), model)
    if differing:
        notes += (
            f"WARNING: they were trained on pixels normalised by {differing}: set "
            "model.data_preprocessor to it",
        )
    licence = meta.get("licence") or UNKNOWN
    place = f"load_from={path!r}"
    return _fill(
        model, state, place=place, source=path, licence=licence, left_out=left_out, notes=notes
    )


def _fill(
    model: TrainedModel,
    state: Mapping[str, Tensor],
    *,
    place: str,
    source: str,
    licence: str,
    left_out: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> StartReport:
    """Fills a model and its copies.

    Args:
        model: see :func:`begin`.
        state: tensors by names of the model, and whatever else.
        place: the setting that named the weights and its value, for errors.
        source, licence, notes: see :class:`StartReport`.
        left_out: beginnings of names that are not taken.

    Raises:
        ConfigError: see :func:`load_start`.
    """
    own = model.state_dict()
    taken, unused = {}, []
    for name, value in state.items():
        if name in own and not name.startswith(left_out):
            taken[name] = value
        else:
            unused.append(name)
    _check_shapes(taken, own, place)
    refuse_non_finite(taken, place)
    names = {id(module): f"{name}." for name, module in model.named_modules()}
    pairs = [(names[id(original)], names[id(copy)]) for original, copy in model.copies()]
    backbone = names[id(model.backbone)]
    _require_whole(backbone, taken, own, place)
    copied = _complete_copies(pairs, taken, own, place)
    _require_trained(model, {*taken, *copied}, place)
    model.load_state_dict(taken, strict=False)
    _copy(model, copied)
    fresh = []
    for name in own:
        if name not in taken and name not in copied and not name.endswith(_COUNTER):
            fresh.append(name)
    fingerprint = state_fingerprint(under(backbone, taken))
    return StartReport(
        source,
        licence,
        fingerprint,
        tuple(taken),
        tuple(copied),
        tuple(fresh),
        tuple(unused),
        notes,
    )


def _entries(
    content: dict[str, Any], model: TrainedModel, path: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Returns the file's tensors by names of the model.

    Raises:
        ConfigError: there is no backbone among them.
    """
    for nest in _NESTS:
        if isinstance(content.get(nest), dict):
            content = content[nest]
            break
    state = unwrapped({name: value for name, value in content.items() if isinstance(value, Tensor)})
    wanted = [name for name in model.backbone.state_dict() if not name.endswith(_COUNTER)]
    # Ours; a TimmBackbone's own state dict; timm's, whose names lack the "model." before them.
    spellings = []
    for prefix, cut in (("backbone.", ""), ("", ""), ("", "model.")):
        names = {prefix + name.removeprefix(cut): name for name in model.backbone.state_dict()}
        spellings.append(names)
    best = max(spellings, key=lambda names: len(names.keys() & state.keys()))
    if best.keys() & state.keys():
        notes = () if best is spellings[0] else ("its names are those of a bare backbone",)
        entries = {}
        for name, value in state.items():
            entries[f"backbone.{best[name]}" if name in best else name] = value
        return entries, notes
    raise ConfigError(
        f"load_from={path!r}: holds no backbone of this model, whose names are "
        f"backbone.{wanted[0]}, …; the file has "
        f"{len(state)} tensors{_places(state, ' such as ')}. Name a checkpoint of a pretraining "
        "with this backbone, "
        "or convert another project's file: pixelpretext import FILE"
    )


def _of_other_objectives(
    content: dict[str, Any], objectives: list[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Returns the prefixes of objectives that were of another type in the file's run."""
    meta = content.get("meta")
    if not isinstance(meta, dict) or not isinstance(meta.get("cfg"), str):
        return ()
    try:
        earlier = parse(meta["cfg"]).get("model", {}).get("objectives", [])
    except ValueError:  # a checkpoint of another program, with a config of its own kind
        return ()
    changed = []
    for index, (old, new) in enumerate(zip(earlier, objectives, strict=False)):
        if _kinds(old) != _kinds(new):
            changed.append(f"objectives.{index}.")
    return tuple(changed)


def _kinds(objective: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns the type of an objective and of those inside it."""
    inner = objective.get("objective")
    return (objective.get("type"), *(_kinds(inner) if isinstance(inner, Mapping) else ()))


def _check_shapes(taken: Mapping[str, Tensor], own: Mapping[str, Tensor], place: str) -> None:
    """Raises a :class:`ConfigError` that names tensors of another shape than the model's."""
    wrong = []
    for name, value in taken.items():
        here, there = tuple(own[name].shape), tuple(value.shape)
        if here != there:
            wrong.append(f"{name} is {there} there and {here} here")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ConfigError(
            f"{place}: {'; '.join(wrong[:3])}{more}. Give the model the file's sizes, "
            "or take from the file "
            "what fits: pixelpretext import FILE writes only its backbone"
        )


def _require_whole(
    prefix: str, taken: Mapping[str, Tensor], own: Mapping[str, Tensor], place: str
) -> None:
    """Raises a :class:`ConfigError` if a part of the module at ``prefix`` is not in the file."""
    missing = []
    for name in own:
        if name.startswith(prefix) and name not in taken and not _may_lack(name):
            missing.append(name)
    if missing:
        raise ConfigError(
            f"{place}: lacks {len(missing)} tensors of "
            f"{prefix.rstrip('.')}{_places(missing, ' such as ')}, "
            "which would stay random; name a file of this very architecture"
        )


def _may_lack(name: str) -> bool:
    return name.endswith((_COUNTER, _LEARNED_LATER))


def _complete_copies(
    pairs: list[tuple[str, str]], taken: Mapping[str, Tensor], own: Mapping[str, Tensor], place: str
) -> dict[str, str]:
    """Returns {name within a copy: name of its original} for copies that the file lacks.

    Raises:
        ConfigError: the file holds a part of a copy.
    """
    copied = {}
    for original, copy in pairs:
        if any(name.startswith(copy) for name in taken):
            _require_whole(copy, taken, own, place)
            continue
        for name in own:
            if name.startswith(copy):
                copied[name] = original + name.removeprefix(copy)
    return copied


def _require_trained(model: TrainedModel, filled: set[str], place: str) -> None:
    """Raises a :class:`ConfigError` for parameters that nothing fills and nothing trains."""
    copied = set()
    for _, copy in model.copies():
        copied.update(map(id, copy.parameters()))
    random = []
    for name, parameter in model.named_parameters():
        trained = parameter.requires_grad or id(parameter) in copied
        if not trained and name not in filled:
            random.append(name)
    if random:
        raise ConfigError(
            f"{place}: lacks {len(random)} tensors{_places(random, ' such as ')} that "
            "nothing trains, so "
            "they would stay random; name a file that holds them"
        )


@torch.no_grad()
def _copy(model: nn.Module, copied: Mapping[str, str]) -> None:
    """Copies originals to their copies, parameters and buffers."""
    state = model.state_dict()  # shares the model's memory
    for name, original in copied.items():
        state[name].copy_(state[original])


def _differing_normalisation(theirs: Any, model: TrainedModel) -> str:
    """Returns how images of other weights are normalised; empty if as the model's are, or if it is
    not known.
    """
    ours = getattr(model.data_preprocessor, "normalisation", None)
    if not isinstance(theirs, Mapping) or ours is None:
        return ""
    differing = []
    for key in ours:
        if not np.allclose(ours[key], theirs[key], rtol=0, atol=1e-3):
            differing.append(f"{key} {np.round(theirs[key], 4).tolist()}")
    return ", ".join(differing)


def _places(names: Iterable[str], before: str = ": ") -> str:
    """Returns the first names, for a sentence."""
    names = list(names)
    if not names:
        return ""
    return f"{before}{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
