"""Trained directions with the norms that the weights began with."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine import checkpoints
from pretrain.engine.check import register_all
from pretrain.engine.config import parse
from pretrain.engine.runner import versions
from pretrain.files import require_writable
from pretrain.state_dicts import refuse_non_finite

_HEADS = "objectives."  # what a model keeps the weights of its objectives under


@dataclass(frozen=True)
class Rescaling:
    """What was done to the parameter tensors of a checkpoint.

    Attributes:
        factors: name -> ||w_init|| / ||w|| of every tensor that was scaled.
        zero: tensors left alone because they are, or began as, all zeros.
        versions: libraries whose version is not that of the run, as "torch 2.3.0 -> 2.4.0"; another
            version may draw other weights, of nearly the same norms.
    """

    factors: dict[str, float]
    zero: tuple[str, ...]
    versions: tuple[str, ...]

    def __str__(self) -> str:
        values = sorted(self.factors.values())
        spread = (
            f"factors {values[0]:.3g} to {values[-1]:.3g}, median {statistics.median(values):.3g}"
            if values
            else ""
        )
        return (
            f"{len(values)} tensors scaled ({spread or 'none'}), {len(self.zero)} left alone "
            "(zero norm)"
        )


def initial_model(checkpoint: dict[str, Any]) -> nn.Module:
    """Builds the model of a run as it was before its first step, from the config and seed in its
    checkpoint.

    The engine seeds right before it builds the model, and so does this: the weights are the same to
    the last bit with the same versions of the libraries. Python's, NumPy's and torch's generators
    are seeded on the way.

    Raises:
        ValueError: the checkpoint is not one of this engine, or its run began with the weights of
            ``load_from`` or of the backbone's ``start``.
    """
    meta = checkpoint.get("meta")
    if (
        not isinstance(meta, dict)
        or not {"cfg", "seed"} <= meta.keys()
        or "state_dict" not in checkpoint
    ):
        raise ValueError(
            "no config and seed inside; name a checkpoint of pixelpretext train (final.pth, "
            "iter_N.pth)"
        )
    cfg = parse(meta["cfg"])
    for place, source in (
        ("load_from", cfg.get("load_from")),
        ("model.backbone.start", cfg.model.backbone.get("start")),
    ):
        if source:
            raise ValueError(
                f"the run began with the weights of {place}={source!r} and not with fresh ones; "
                "rescaling needs a run from scratch"
            )
    register_all()
    set_random_seed(meta["seed"])
    return MODELS.build(cfg.model.to_dict())


@torch.no_grad()
def rescale(
    state: dict[str, Tensor], initial: nn.Module
) -> tuple[dict[str, Tensor], dict[str, float], tuple[str, ...]]:
    """Scales every parameter tensor w to w·||w_init|| / ||w|| (l2 norms, in float64); buffers stay
    as they are.

    Returns:
        The new state dict, the factors by name, and the names of the tensors left alone because a
        norm is zero (a scale of zero would wipe out, from zero nothing can be scaled).

    Raises:
        ValueError: the state dict is not one of this model, or has weights that are NaN or
            infinite.
    """
    parameters = dict(initial.named_parameters(remove_duplicate=False))
    wrong = [n for n, p in parameters.items() if n not in state or state[n].shape != p.shape]
    if wrong:
        raise ValueError(
            f"{len(wrong)} parameters of the config's model are not in the file, such as "
            f"{wrong[0]!r}"
        )
    refuse_non_finite({name: state[name] for name in parameters}, "the checkpoint")
    scaled, factors, zero = dict(state), {}, []
    for name, first in parameters.items():
        norms = first.double().norm().item(), state[name].double().norm().item()
        if 0.0 in norms:
            zero.append(name)
        else:
            factors[name] = norms[0] / norms[1]
            scaled[name] = (state[name].double() * factors[name]).to(state[name].dtype)
    return scaled, factors, tuple(zero)


def rescale_checkpoint(
    path: str | Path, out: str | Path, *, without_heads: bool = False
) -> Rescaling:
    """Writes a checkpoint's weights, each tensor with its initial norm, as a file of weights
    (atomically).

    The file has what ``final.pth`` has: it is read by ``load_from`` and by ``FeatureExtractor``,
    not by ``--resume``.

    Args:
        path: of the checkpoint.
        out: file to write.
        without_heads: leave the objectives' own weights out, such as a classifier, so that the next
            training draws them anew.

    Raises:
        FileNotFoundError: no such checkpoint. OSError: ``out`` cannot be written.
        ValueError: see :func:`initial_model` and :func:`rescale`; or ``out`` is ``path`` itself.
    """
    path, out = Path(path), Path(out)
    if out.resolve() == path.resolve():
        raise ValueError(f"--out {out} is the checkpoint itself; name another file")
    require_writable(out, "--out")
    checkpoint = read_checkpoint(path)
    try:
        initial = initial_model(checkpoint)
        state, factors, zero = rescale(checkpoint["state_dict"], initial)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if without_heads:
        state = {name: value for name, value in state.items() if not name.startswith(_HEADS)}
    meta = checkpoint["meta"]
    written = {"meta": meta | {"rescaled_from": str(path)}, "state_dict": state, "message_hub": {}}
    checkpoints.write_checkpoint(written, out)
    then, now = meta.get("versions", {}), versions()
    differing = tuple(
        f"{k} {then[k]} -> {now[k]}" for k in ("torch", "timm") if then.get(k, now[k]) != now[k]
    )
    return Rescaling(factors, zero, differing)
