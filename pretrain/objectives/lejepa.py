"""LeJEPA: views of a place agree, and embeddings are spread over the images like a Gaussian: those
of whole images, or of cells (our own extension).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.registry import MODELS
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from heads.precision import full_precision, no_autocast
from heads.projector import pixel_mlp, vector_mlp
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.geometry import pixel_positives
from pretrain.host_buffers import HostBuffers
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.reduce import mean_over_valid, sum_over_processes
from pretrain.ranges import check_not_negative, check_share
from pretrain.structures import Batch

#: Numbers e^(itu) that are held at a time; more directions are recomputed in the backward pass.
NUMBERS = 2**24
#: Least standard deviation over the cells of an image that costs nothing. Over all images it is 1
#: for each channel, so a quarter of the variance is asked to lie within images.
SPREAD = 0.5
EPSILON = 1e-4  # under the root of the spread, whose slope at 0 would be infinite


def sigreg(z: Tensor, directions: Tensor, *, knots: int = 17, end: float = 3.0) -> Tensor:
    """Sketched isotropic Gaussian regularisation: how far embeddings, projected on unit directions
    a, are from N(0, 1) (Epps–Pulley test, mean over directions and tests).

        T(a) = n ∫ |φ(t) − e^(−t²/2)|² e^(−t²/2) dt,  φ(t) = mean of e^(it⟨z, a⟩) over the n samples

    by the trapezoid rule on [0, end], doubled. The test takes samples for independent: the cells of
    an image are not, so they belong to different tests.

    Args:
        z: (n, S, D), n samples of S tests; those of all processes count. Any scale, for scale
            matters: never normalised.
        directions: (D, M) unit columns, equal on all processes.
        knots, end: of the trapezoid rule.

    Returns:
        Scalar, the same on all processes; :func:`known_values` has those of a Gaussian sample and
        of equal samples. Cost O(n·S·M·(D + knots)) time, at most ``NUMBERS`` at a time.
    """
    with no_autocast(z):
        z = full_precision(z)
        count = len(z) * get_world_size()
        t, weights, normal = (values.to(z) for values in _trapezoid(knots, end, z.device))
        means = sum_over_processes(_sums(z, directions.to(z), t)) / count  # (2, S, M, knots)
        distances = (means[0] - normal).square() + means[1].square()
        return count * (distances * weights).sum(-1).mean()


def known_values(count: int) -> tuple[float, float]:
    """Returns :func:`sigreg` of a Gaussian sample, in the mean, and of ``count`` samples at 0."""
    _, weights, normal = _trapezoid(17, 3.0)
    gaussian = float((weights * (1 - normal.square())).sum())
    return gaussian, count * float((weights * (1 - normal).square()).sum())


def _trapezoid(
    knots: int, end: float, device: torch.device | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Knots t, their weights times e^(−t²/2), doubled, and e^(−t²/2); each (knots,) float64."""
    t = torch.linspace(0, end, knots, dtype=torch.float64, device=device)
    normal = (-t.square() / 2).exp()
    weights = torch.full_like(t, 2 * end / (knots - 1))
    weights[:: knots - 1] /= 2  # both ends
    return t, weights * normal, normal


def _sums(z: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    """Sums over samples of cos and sin of t⟨z, a⟩: (2, S, M, knots)."""

    def of(part: Tensor) -> Tensor:
        phases = (z @ part)[..., None] * t  # (n, S, m, knots)
        return torch.stack([phases.cos().sum(0), phases.sin().sum(0)])

    width = max(1, NUMBERS // (z.shape[0] * z.shape[1] * len(t)))
    parts = directions.split(width, 1)
    if len(parts) == 1:
        return of(directions)
    return torch.cat([checkpoint(of, part, use_reentrant=False) for part in parts], 2)


def place_invariance(
    cells: Tensor, others: Sequence[Tensor], positives: Sequence[Tensor]
) -> Tensor:
    """Mean square distance, per channel, of a view's cells to their centre: the mean over other
    views of the mean of their cells at the same place, with gradient.

    Args:
        cells: (B, N, D). others: (B, N', D) each, the view itself among them where it belongs to
            the centre.
        positives: (B, N, N') bool each, which cells of the other views show the same place; cells
            without any in one of the views are left out, and images without cells.

    Returns:
        Scalar. Cost O(B·N·N'·D) per view.
    """
    with no_autocast(cells):
        cells = full_precision(cells)
        centre, valid = torch.zeros_like(cells), torch.ones_like(cells[..., 0], dtype=torch.bool)
        for other, mask in zip(others, positives, strict=True):
            count = mask.sum(2, keepdim=True)
            centre = centre + mask.to(cells) @ full_precision(other) / count.clamp_min(1)
            valid = valid & (count[..., 0] > 0)
        squares = (cells - centre / len(others)).square().mean(2)
        per_image = (squares * valid).sum(1) / valid.sum(1).clamp_min(1)
        return mean_over_valid(per_image, valid.any(1))


class _Embedded(NamedTuple):
    """A view's embeddings (B, N, D), on a grid (h, w), and its geometry (B, 2, 3); the vector alone
    has no geometry.
    """

    cells: Tensor
    size: tuple[int, int]
    geometry: Tensor | None


@MODELS.register_module()
class LeJEPA(HostBuffers, Objective):
    """LeJEPA (Balestriero & LeCun, arXiv 2511.08544), by the formula of the paper and its README.

    loss = λ · SIGReg + (1 − λ) · invariance [+ spread_weight · spread on cells]. Both are means
    over all views, the centre of the invariance is that of the global views alone.

    On cells (our own): places take the part of images in the invariance; SIGReg is a test over
    images for each of some cells; and as such tests do not notice that all cells of an image are
    equal, ``spread`` does: mean over channels of max(0, ½ − standard deviation over the cells of
    an image).

    Args:
        level: ``cells`` or ``vectors``.
        stride: stride of the map; None = the deepest.
        hidden: width inside the projector. dim: of the embedding.
        gaussian_weight: λ.
        directions: M, drawn anew in each step, the same on all processes.
        cells: of each view that are tested, drawn anew in each step.
        spread_weight: see above.
        pos_radius_diag: two cells match if they are closer than this many cell diagonals.

    Raises:
        ValueError: another ``level``, λ outside [0, 1], ``directions`` or ``cells`` below 1, a
            negative ``spread_weight``, a stride that the backbone lacks.

    Attributes:
        draws: (2,) int64, the seed of what a step draws, and steps done; saved with the weights.
    """

    needs = Needs(may_read=("local",), any_views=True)
    on_host = ("draws",)
    draws: Tensor

    def __init__(
        self,
        features: FeatureInfo,
        *,
        level: str = "cells",
        stride: int | None = None,
        hidden: int = 2048,
        dim: int = 64,
        gaussian_weight: float = 0.05,
        directions: int = 1024,
        cells: int = 16,
        spread_weight: float = 1.0,
        pos_radius_diag: float = 0.7,
    ) -> None:
        super().__init__(features)
        check_choice("level", level, ("cells", "vectors"))
        check_share(gaussian_weight=gaussian_weight)
        check_not_negative(spread_weight=spread_weight)
        for name, value in (("directions", directions), ("cells", cells)):
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        self.level, self.dim = level, dim
        self.gaussian_weight, self.spread_weight = gaussian_weight, spread_weight
        self.directions, self.cells, self.pos_radius_diag = directions, cells, pos_radius_diag
        self.stride = features.pick(stride)
        if level == "cells":
            self.projector = pixel_mlp(features.channels[self.stride], hidden, dim)
        else:
            self.projector = vector_mlp(features.vector, hidden, dim)
        seed = torch.randint(2**31, ())
        self.register_buffer("draws", torch.stack([seed, torch.zeros_like(seed)]))

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best, about: a Gaussian sample of views that agree. Collapsed: all embeddings 0."""
        count = len(batch.ids) * get_world_size()
        best, collapsed = (self.gaussian_weight * value for value in known_values(count))
        if self.level == "cells":
            collapsed += self.spread_weight * (SPREAD - EPSILON**0.5)
        return Bounds(best=best, collapsed=collapsed)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, its parts ``gaussian`` and ``invariance``, on cells also ``spread``."""
        views = self._embed("global", batch, encode)
        centres = list(views)
        if "local" in batch.views:
            views += self._embed("local", batch, encode)
        gaussian = self._gaussian([view.cells for view in views])
        invariance = torch.stack([self._invariance(view, centres) for view in views]).mean()
        loss = self.gaussian_weight * gaussian + (1 - self.gaussian_weight) * invariance
        terms = {"gaussian": gaussian, "invariance": invariance}
        if self.level == "cells":
            spread = torch.stack([_lack_of_spread(view.cells) for view in views]).mean()
            loss, terms["spread"] = loss + self.spread_weight * spread, spread
        return {"loss": loss, **terms}

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """The next step draws anew."""
        self.draws[1] += 1

    def _embed(self, group: str, batch: Batch, encode: Encodings) -> list[_Embedded]:
        """Embeddings of the views of a group."""
        views = []
        for index, view in enumerate(encode.online(group)):
            if self.level == "vectors":
                views.append(_Embedded(self.projector(view.vector)[:, None], (1, 1), None))
                continue
            embedded = self.projector(view.map(self.stride))
            cells, size = embedded.flatten(2).transpose(1, 2), tuple(embedded.shape[2:])
            views.append(_Embedded(cells, size, batch.views[group].geometry[:, index]))
        return views

    def _gaussian(self, views: list[Tensor]) -> Tensor:
        """SIGReg of embeddings (B, N, D), mean over views."""
        rng = np.random.default_rng(self.draws.tolist())
        directions = rng.standard_normal((self.dim, self.directions), dtype=np.float32)
        directions = torch.from_numpy(directions / np.linalg.norm(directions, axis=0))
        directions = directions.to(views[0].device, non_blocking=True)
        values = []
        for cells in views:
            chosen = torch.from_numpy(rng.permutation(cells.shape[1])[: self.cells])
            chosen = chosen.to(cells.device, non_blocking=True)
            values.append(sigreg(cells.index_select(1, chosen), directions))
        return torch.stack(values).mean()

    def _invariance(self, view: _Embedded, centres: list[_Embedded]) -> Tensor:
        """See :func:`place_invariance`."""
        positives = []
        for other in centres:
            if view.geometry is None or view is other:
                match = torch.eye(view.cells.shape[1], device=view.cells.device).bool()
                positives.append(match.expand(len(view.cells), -1, -1))
                continue
            positives.append(
                pixel_positives(
                    view.geometry,
                    other.geometry,
                    size_q=view.size,
                    size_k=other.size,
                    pos_radius_diag=self.pos_radius_diag,
                )
            )
        return place_invariance(view.cells, [other.cells for other in centres], positives)


def _lack_of_spread(cells: Tensor) -> Tensor:
    """Mean over images and channels of max(0, ½ − deviation over cells), cells (B, N, D)."""
    with no_autocast(cells):
        variance = full_precision(cells).var(1, unbiased=False)
        return (SPREAD - (variance + EPSILON).sqrt()).clamp_min(0).mean()
