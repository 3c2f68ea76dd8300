"""timm's networks by name: which there are, what their authors call them, how they are built."""

from __future__ import annotations

import inspect
import re
from typing import Any

import timm
from torch import nn

from pretrain.names import suggestion

_SIZES = dict(t="tiny", s="small", b="base", l="large", h="huge", g="giant")
# Names on torch.hub and in model cards, as patterns, with timm's name in terms of their groups.
_OFFICIAL = (
    (r"dinov3_vit(?P<size>[sbl])16", "vit_{size}_patch16_dinov3"),
    (r"dinov3_vit(?P<size>[sh])16plus", "vit_{size}_plus_patch16_dinov3"),
    (r"dinov3_vit7b16", "vit_7b_patch16_dinov3"),
    (r"dinov3_convnext_(?P<size>\w+)", "convnext_{size}.dinov3_lvd1689m"),
    (r"dinov2_vit(?P<size>[sblg])14", "vit_{size}_patch14_dinov2"),
    (r"dinov2_vit(?P<size>[sblg])14_reg", "vit_{size}_patch14_reg4_dinov2"),
    (r"dino_vit(?P<size>[sb])(?P<patch>8|16)", "vit_{size}_patch{patch}_224.dino"),
    (r"mae_vit_(?P<size>base|large)_patch16", "vit_{size}_patch16_224.mae"),
    (r"mae_vit_huge_patch14", "vit_huge_patch14_224.mae"),
    (r"siglip2-base-patch(?P<patch>16|32)-(?P<px>\d+)", "vit_base_patch{patch}_siglip_{px}"),
    (r"siglip2-large-patch16-(?P<px>\d+)", "vit_large_patch16_siglip_{px}"),
    (r"siglip2-so400m-patch(?P<patch>14|16)-(?P<px>\d+)", "vit_so400m_patch{patch}_siglip_{px}"),
)
# Methods whose weights timm does not hold.
_ELSEWHERE = re.compile(r"(franca|ibot|capi|neco|leopart|denoising|dvt|v-?jepa)", re.IGNORECASE)


def check_timm_name(name: str) -> None:
    """Does nothing if timm has a network of this name, and weights of its tag (``NAME.TAG``).

    Raises:
        ValueError: it has not; names what was probably meant, the authors' own names included, or
            the tags that there are.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        if _ELSEWHERE.match(name):
            raise ValueError(
                f"backbone name={name!r} is not in timm: its weights are read from the authors' "
                "file, PATH.pth?backbone=NAME with timm's name of the architecture"
            )
        hint = _from_official(name) or suggestion(name, timm.list_models())
        raise ValueError(
            f"backbone name={name!r} is not a timm model{hint} (timm.list_models() lists all)"
        )
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        published = timm.list_pretrained(f"{architecture}.*")
        hint = suggestion(tag, [known.partition(".")[2] for known in published])
        raise ValueError(
            f"backbone name={name!r}: timm has no weights {tag!r} of {architecture}{hint}; "
            f"published are: {_listed(architecture)}"
        ) from error


def create_network(name: str, options: dict[str, Any]) -> nn.Module:
    """Builds a network without its classifier, with the options of ``timm.create_model``.

    Raises:
        ValueError: it does not take the options, or its published weights do not.
    """
    try:
        return timm.create_model(name, num_classes=0, **options)
    except (TypeError, AssertionError) as error:
        reason = str(error) or "an illegal value"
        raise ValueError(
            f"backbone {name!r} does not take these options {options}: {reason}"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        if "No pretrained weights" in reason:
            raise ValueError(
                f"backbone {name!r}: timm has no weights of it; published are: {_listed(name)}"
            ) from error
        if "in loading state_dict" not in reason:
            raise
        hint = ""
        if "fc_norm" in reason:
            hint = (
                ". Its last norm belongs to the pooled vector (fc_norm): leave global_pool out, "
                "and read its maps with norm=True, which applies that norm to them"
            )
        raise ValueError(
            f"backbone {name!r}: its published weights do not fit these options {options}: "
            f"{reason}{hint}"
        ) from error


def options_of(name: str) -> set[str]:
    """Names of the constructor arguments of the class behind a timm model and of its bases (ViTs
    take ``dynamic_img_size``).
    """
    module = inspect.getmodule(timm.model_entrypoint(name.split(".")[0]))
    names: set[str] = set()
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if cls.__module__ == module.__name__:
            for base in cls.__mro__:
                names |= inspect.signature(base.__init__).parameters.keys()
    return names


def _listed(name: str) -> str:
    """Names with tags of the weights that timm publishes for an architecture."""
    return ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")) or "none"


def _from_official(name: str) -> str:
    """``suggestion`` for a name that the authors use and timm does not."""
    plain = name.rpartition("/")[2].lower()
    for pattern, ours in _OFFICIAL:
        match = re.fullmatch(pattern, plain)
        if match:
            groups = match.groupdict()
            groups["size"] = _SIZES.get(groups.get("size"), groups.get("size"))
            meant = ours.format(**groups)
            if timm.is_model(meant.partition(".")[0]):
                return f"; did you mean {meant!r}?"
    return ""
