"""Fits FeatUp's implicit upsampler: a small network per image, from slightly moved views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.precision import full_precision, no_autocast
from heads.upsamplers.base import Upsampler
from heads.upsamplers.implicit import ImplicitField
from heads.upsamplers.principal import PrincipalComponents, private_rng
from pretrain.progress import Progress
from pretrain.upsampling.downsamplers import gaussian_blur
from pretrain.upsampling.jitter import Jitter, draw_jitter
from pretrain.upsampling.losses import (
    Uncertainty,
    magnitude,
    magnitude_loss,
    reconstruction,
    total_variation,
)

Encode = Callable[
    [Tensor], Tensor
]  # normalised images (B, 3, H, W) -> features (B, C, h, w) of a frozen backbone
# Pixels per cell: FeatUp's window of the downsampler, for ViTs of these patches and for a ResNet-50
# (32). Of the same strides are its ResNet-50 at doubled input (16) and DeepLab (8), for which it
# takes 35: give downsampler.kernel.
_KERNELS = {8: 8, 14: 29, 16: 29, 32: 35}


@dataclass(frozen=True)
class ImplicitSettings:
    """How an image is fitted; FeatUp's values are the defaults, made for images of 224 pixels.

    Attributes:
        steps: of NAdam (FeatUp takes 500 for a ResNet-50).
        lr: its learning rate.
        n_views: moved views encoded beforehand.
        views_per_step: drawn among them in a step, each at most once (FeatUp draws with
            repetition).
        batch: views encoded at a time.
        components: principal components that are fitted; fewer where the features have fewer.
        pca_views: views whose features give the components; ``batch`` at most.
        hidden: channels of the network.
        frequencies: of its Fourier features, per signal.
        dropout: share of channels.
        pad: pixels mirrored outwards before a view is cut, less than the image's shorter side.
        max_zoom: largest enlargement of a view.
        downsampler: registry dict; ``kernel`` is by default 8, 29, 29 and 35 for 8, 14, 16 and 32
            pixels per cell, else the cell's side. These are FeatUp's for ViTs and for a ResNet-50
            at its own stride; for a ResNet-50 whose images are doubled (16 pixels per cell) and for
            DeepLab (8) it takes ``kernel=35``.
        uncertainty: weigh cells by a learned scale; False leaves the mean squared residual.
        magnitude: weight of the difference of pooled and target lengths.
        tv: weight of the total variation of lengths.
        blur: weight of what a 5 × 5 Gaussian changes.
        seed: of everything random.

    Raises:
        ValueError: a count below 1, a negative weight, or more ``pca_views`` than ``batch``.
    """

    steps: int = 1200
    lr: float = 2e-3
    n_views: int = 3000
    views_per_step: int = 10
    batch: int = 64
    components: int = 128
    pca_views: int = 50
    hidden: int = 128
    frequencies: int = 30
    dropout: float = 0.2
    pad: int = 30
    max_zoom: float = 1.8
    downsampler: dict[str, Any] = field(default_factory=dict)
    uncertainty: bool = True
    magnitude: float = 0.001
    tv: float = 0.05
    blur: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (
            "steps",
            "n_views",
            "views_per_step",
            "batch",
            "components",
            "pca_views",
            "hidden",
            "frequencies",
        )
        for names, least in ((counts, 1), (("magnitude", "tv", "blur"), 0)):
            for name in names:
                if getattr(self, name) < least:
                    raise ValueError(f"{name}={getattr(self, name)}: must be at least {least}")
        if self.pca_views > self.batch:
            raise ValueError(
                f"pca_views={self.pca_views}: batch={self.batch} is the most, they are encoded "
                "at once"
            )


def fit_implicit(
    encode: Encode,
    image: Tensor,
    settings: ImplicitSettings | None = None,
    progress: Progress | None = None,
) -> tuple[ImplicitField, Tensor]:
    """Fits an implicit field F to an image x and a backbone f, all losses in the space of principal
    components:

        rec + magnitude·mean[(pool(t(‖F‖)) − ‖f(t(x))‖)²] + tv·TV(‖F‖) + blur·mean[(G(F) − F)²]
        rec = mean[(pool(t(F)) − f(t(x)))² / (2 s²) + ln s]   over elements and the step's views t

    arXiv 2403.10516 and its code. ‖F‖ is carried through t and pool as channel 0 beside F. The same
    seed gives the same result, to the bit on a CPU; torch's global random state is left as it was.
    Gradients may be off around it. Memory: n_views · components · h · w numbers of targets (301 MB
    at 14 × 14) and the network's activations, about 1,500 numbers per pixel (300 MB at 224²); the
    views of a step go through one after the other.

    Args:
        encode: the frozen backbone in eval mode; enlarge images in there to give it more pixels.
        image: (1, 3, H, W) float, normalised as for ``encode``.
        settings: None for the defaults.
        progress: called with ("views" or "steps", done, total).

    Returns:
        The field in eval mode and the loss of every step (steps,), which may be negative.

    Raises:
        ValueError: an image of another shape, or too small for ``pad`` or the downsampler's kernel.
    """
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(
            f"image must be (1, 3, H, W), one image is fitted at a time; found {tuple(image.shape)}"
        )
    settings = settings or ImplicitSettings()
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        no_autocast(image),
        private_rng(settings.seed, image.device),
    ):
        image = full_precision(image.detach().clone())
        jitters, targets, components = _views(encode, image, settings, progress)
        fitted = ImplicitField(
            image,
            components,
            hidden=settings.hidden,
            frequencies=settings.frequencies,
            dropout=settings.dropout,
        )
        losses = _train(
            fitted,
            image,
            jitters=jitters,
            targets=targets,
            settings=settings,
            progress=progress,
        )
    return fitted.eval(), losses


def _views(
    encode: Encode, image: Tensor, settings: ImplicitSettings, progress: Progress | None
) -> tuple[list[Jitter], Tensor, PrincipalComponents]:
    """Jitters, their projected targets (n_views, k, h, w), and the projection."""
    size, total = tuple(image.shape[-2:]), settings.n_views
    jitters = [
        draw_jitter(size, pad=settings.pad, max_zoom=settings.max_zoom) for _ in range(total)
    ]
    targets, components = [], None
    for start in range(0, total, settings.batch):
        with torch.no_grad():
            views = torch.cat([jitter(image) for jitter in jitters[start : start + settings.batch]])
            maps = encode(views).to(image.dtype)
            if components is None:
                first = maps[: settings.pca_views]
                components = PrincipalComponents.fit(first, settings.components, seed=settings.seed)
            targets.append(components.project(maps))
        if progress is not None:
            progress("views", min(start + settings.batch, total), total)
    return jitters, torch.cat(targets), components


def _train(
    fitted: ImplicitField,
    image: Tensor,
    *,
    jitters: list[Jitter],
    targets: Tensor,
    settings: ImplicitSettings,
    progress: Progress | None,
) -> Tensor:
    """Fits the network beside its downsampler and uncertainty; returns the losses (steps,)."""
    width, cell = targets.shape[1], round(image.shape[2] / targets.shape[2])
    config = (
        dict(type="AttentionDownsampler", kernel=_KERNELS.get(cell, cell)) | settings.downsampler
    )
    parts = nn.ModuleDict({"downsampler": MODELS.build(dict(config, channels=width + 1))})
    if settings.uncertainty:
        parts["uncertainty"] = Uncertainty(width)
    parts.to(image)
    optimiser = torch.optim.NAdam([*fitted.parameters(), *parts.parameters()], settings.lr)
    fitted.train()
    signals, losses = fitted.signals(image), []
    for step in range(settings.steps):
        chosen = torch.randperm(len(jitters))[: settings.views_per_step].tolist()
        optimiser.zero_grad(set_to_none=True)
        fine = fitted.network(signals)
        # Gradients gather here, so that a view's graph is freed with the view.
        leaf = fine.detach().requires_grad_()
        loss = _backward(_regulariser(leaf, settings))
        for view in chosen:
            own = _view_loss(
                leaf, targets[view][None], jitter=jitters[view], parts=parts, settings=settings
            )
            loss += _backward(own / len(chosen))
        fine.backward(leaf.grad)
        optimiser.step()
        losses.append(loss)
        if progress is not None:
            progress("steps", step + 1, settings.steps)
    return torch.stack(losses)


def _view_loss(
    leaf: Tensor,
    target: Tensor,
    *,
    jitter: Jitter,
    parts: nn.ModuleDict,
    settings: ImplicitSettings,
) -> Tensor:
    """Reconstruction and magnitude of one view; target (1, k, h, w)."""
    carried = jitter(torch.cat([magnitude(leaf), leaf], 1))
    pooled = parts["downsampler"](carried, tuple(target.shape[-2:]))
    scale = parts["uncertainty"](target) if settings.uncertainty else None
    loss = reconstruction(pooled[:, 1:], target, scale).mean()
    return loss + settings.magnitude * magnitude_loss(pooled[:, :1], target)


def _regulariser(leaf: Tensor, settings: ImplicitSettings) -> Tensor:
    smooth = ((gaussian_blur(leaf) - leaf) ** 2).mean()
    return settings.tv * total_variation(magnitude(leaf)) + settings.blur * smooth


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss.detach()


@MODELS.register_module()
class ImplicitUpsampler(Upsampler):
    """Fits every image anew (see :func:`fit_implicit`) and reads its field; keeps nothing between
    calls.

    Slow, an upper bound for offline use: the backbone sees each image ``n_views`` times. Not linear
    in the features, which are not even used but for their width and dtype. ``config`` lacks
    ``encode``, give it when building again.

    Args:
        encode: the frozen backbone in eval mode, normalised images (B, 3, H, W) -> (B, C, h, w);
            may follow by :meth:`bind`.
        progress: called as ``progress(phase, done, total)``.
        **settings: of :class:`ImplicitSettings`.
    """

    kind, source = "implicit", "image"

    def __init__(
        self, encode: Encode | None = None, progress: Progress | None = None, **settings: Any
    ) -> None:
        chosen = ImplicitSettings(**settings)
        super().__init__(**asdict(chosen))
        self.settings, self.progress = chosen, progress
        self.bind(encode)

    def bind(self, encode: Encode | None) -> ImplicitUpsampler:
        """Sets the backbone whose features are fitted; returns itself."""
        self._encode = (encode,)  # in a tuple, so that a module does not become a part of this one
        return self

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See :class:`heads.upsamplers.base.Upsampler`; no gradient flows.

        Raises:
            ValueError: no ``encode``, or one that gives another width than ``features`` has.
        """
        encode = self._encode[0]
        if encode is None:
            raise ValueError(
                "ImplicitUpsampler has no encode: it fits images to a backbone, give one by "
                "bind(encode)"
            )
        with torch.no_grad():
            channels = encode(full_precision(image[:1])).shape[1]
        if channels != features.shape[1]:
            raise ValueError(
                f"features have {features.shape[1]} channels but encode gives {channels}: it must "
                "be the backbone, and the map, that they come from"
            )
        results = []
        for one in image.split(1):
            fitted, _ = fit_implicit(encode, one, self.settings, self.progress)
            results.append(fitted.read(full_precision(one), output_size))
        return torch.cat(results).to(features.dtype)
