"""Multi-view consistency: what fine features must do when the image moves a little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd as _Dropout
from torch.utils.checkpoint import checkpoint

from heads.upsamplers.base import LinearUpsampler, Upsampler
from pretrain.needs import Needs
from pretrain.upsampling.jitter import Jitter, draw_jitter
from pretrain.upsampling.losses import (
    Uncertainty,
    project,
    random_projection,
    reconstruction,
    sampled_crf,
    total_variation,
)

Encode = Callable[
    [Tensor], Tensor
]  # normalised images (B, 3, H, W) -> the frozen backbone's features (B, C, h, w)


@MODELS.register_module()
class MultiViewConsistency(nn.Module):
    """FeatUp's loss (arXiv 2403.10516): fine features, moved and pooled again, must be those of the
    moved image.

        F = upsampler(x, f(x)) at the image's size;   for each of several jitters t:
        loss = 1/jitters · mean[(R·(pool(t(F)) − f(t(x))))² / (2 s²) + ln s]
               + crf·CRF(t₁(x), R·t₁(F)) + tv·TV(F)

    An upsampler that normalises features first (``JBUStack(norm=True)``) has N(f(t(x))) in the
    place of f(t(x)), with its own LayerNorm N, as FeatUp's script has.

    pool is a learned downsampler, s = Uncertainty(f(t(x))) a learned scale per cell, R a random
    projection of channels drawn anew for every image and jitter. pool and s are trained beside the
    upsampler. F is computed anew for every jitter where the upsampler has dropout; jitters are the
    same for a whole step's images. Where the upsampler is linear in the features, R goes first and
    only its few channels are upsampled, moved and pooled. The loss may well be negative. A backbone
    whose features lie far below 1 needs ``uncertainty=False`` (see ``losses.Uncertainty``).

    Args:
        channels: C of the backbone's map; given by the model.
        stride: its pixels per cell; given by the model.
        downsampler: registry dict; ``kernel`` is the stride where it is left out.
        jitters: per step.
        pad: pixels by which a jitter may shift, about a tenth of the image's side.
        max_zoom: largest enlargement.
        projection: channels that R keeps; 0 for no projection.
        uncertainty: False leaves s away: the loss is the mean squared residual.
        crf: weight of the CRF term, for the first jitter only.
        crf_samples: pixels drawn for it.
        tv: weight of the total variation of R·F, the mean over jitters. (FeatUp's script, which has
            weight 0 as well, takes that of the squared lengths of the first moved map.)
        shared: compute the upsampler's weights once for all jitters. None: where it has no dropout,
            which changes nothing. True gives the JBU stack one dropout for all jitters of a step.
        recompute: compute each jitter again in the backward pass: the memory of one jitter instead
            of all, for one more forward pass.

    Raises:
        ValueError: ``jitters`` below 1, or a negative weight or width.
    """

    needs = Needs(online=(), images=("global",), views=1)

    def __init__(
        self,
        channels: int,
        stride: int,
        *,
        downsampler: dict[str, Any] | None = None,
        jitters: int = 5,
        pad: int = 20,
        max_zoom: float = 2.0,
        projection: int = 30,
        uncertainty: bool = True,
        crf: float = 0.001,
        crf_samples: int = 1000,
        tv: float = 0.0,
        shared: bool | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        limits = dict(jitters=(jitters, 1), projection=(projection, 0), crf=(crf, 0), tv=(tv, 0))
        for name, (value, least) in limits.items():
            if value < least:
                raise ValueError(f"MultiViewConsistency.{name}={value}: must be at least {least}")
        self.jitters, self.pad, self.max_zoom = jitters, pad, max_zoom
        self.projection, self.crf, self.crf_samples, self.tv = projection, crf, crf_samples, tv
        self.shared, self.recompute = shared, recompute
        settings = dict(type="AttentionDownsampler", kernel=stride) | (downsampler or {})
        self.downsampler = MODELS.build(dict(settings, channels=channels))
        self.uncertainty = Uncertainty(channels) if uncertainty else None

    def forward(
        self,
        image: Tensor,
        encode: Encode,
        upsampler: Upsampler,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Returns loss terms and, unweighted, the mean squared residual ``mse`` (of the projected
        channels, which is that of the channels on average) and the mean ``scale`` s; 0-d each.

        Args:
            image: (B, 3, H, W) float, normalised.
            encode: the frozen backbone.
            upsampler: what is trained.
            generator: draws the jitters, on the CPU; projections and CRF pixels come from torch's
                own generator.
        """
        features, size = encode(image), tuple(image.shape[-2:])
        share = not _has_dropout(upsampler) if self.shared is None else self.shared
        shared = upsampled(upsampler, image, features, size) if share else None

        def reference(view: Tensor) -> Tensor:
            return upsampler.reference(encode(view))

        terms: dict[str, Tensor] = {}
        for number in range(self.jitters):
            jitter = draw_jitter(size, generator, pad=self.pad, max_zoom=self.max_zoom)

            def one(jitter: Jitter = jitter, first: bool = number == 0) -> dict[str, Tensor]:
                fine = shared or upsampled(upsampler, image, features, size)
                return self._one_jitter(image, fine, jitter, encode=reference, first=first)

            remade = self.recompute and torch.is_grad_enabled()
            for name, value in (checkpoint(one, use_reentrant=False) if remade else one()).items():
                terms[name] = terms[name] + value if name in terms else value
        return terms

    def _one_jitter(
        self,
        image: Tensor,
        fine: Callable[[Tensor | None], Tensor],
        jitter: Jitter,
        *,
        encode: Encode,
        first: bool,
    ) -> dict[str, Tensor]:
        """The share of one jitter in every term."""
        view = jitter(image)
        target = encode(view)
        grid = tuple(target.shape[-2:])
        scale = None if self.uncertainty is None else self.uncertainty(target)
        if self.projection:
            columns = random_projection(len(image), target.shape[1], self.projection, like=target)
            attended = self.downsampler.attention(target)
            maps = fine(columns if attended is None else torch.cat([columns, attended], 2))
            moved = jitter(maps)
            maps, values = maps[:, : self.projection], moved[:, : self.projection]
            prediction = self.downsampler.pool(
                values, None if attended is None else moved[:, self.projection :], grid
            )
            target = project(target, columns)
        else:
            maps = fine(None)
            moved = values = jitter(maps)
            prediction = self.downsampler(moved, grid)
        terms = {
            "loss_reconstruction": reconstruction(prediction, target, scale).mean() / self.jitters,
            "mse": reconstruction(prediction.detach(), target).mean() / self.jitters,
        }
        if scale is not None:
            terms["scale"] = scale.detach().mean() / self.jitters
        if first and self.crf:
            terms["loss_crf"] = self.crf * sampled_crf(view, values, samples=self.crf_samples)
        if self.tv:
            terms["loss_tv"] = self.tv * total_variation(maps) / self.jitters
        return terms


def _has_dropout(module: nn.Module) -> bool:
    return any(isinstance(part, _Dropout) and part.p > 0 for part in module.modules())


def upsampled(
    upsampler: Upsampler, image: Tensor, features: Tensor, size: tuple[int, int]
) -> Callable[[Tensor | None], Tensor]:
    """Upsamples features (B, C, h, w), of which only combinations of channels may be wanted
    afterwards.

    Returns:
        A function of columns (B, C, K), or None for the channels themselves, that gives (B, K, H,
        W). Where the upsampler is linear, K channels are upsampled in place of C, and the result is
        the same.
    """
    if not isinstance(upsampler, LinearUpsampler):
        whole = upsampler(image, features, size)
        return lambda columns: whole if columns is None else project(whole, columns)
    filters = upsampler.filters(image, tuple(features.shape[-2:]), size)
    mixed, mapped = upsampler.mix(features), upsampler.channel_map()

    def combine(columns: Tensor | None) -> Tensor:
        fine = upsampler.spread(
            filters, mixed if columns is None else project(mixed, columns), size
        )
        if mapped is None:
            return fine
        shift = (
            mapped[1].expand(len(image), -1) if columns is None else mapped[1] @ columns
        )  # (B, K)
        return fine + shift[..., None, None]

    return combine
