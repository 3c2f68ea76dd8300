"""Supervised contrastive loss: an anchor may have many positives, told by classes, by several
labels or by views.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.names import check_choice
from pretrain.objectives.parts.reduce import gather, mean_over_valid
from pretrain.ranges import check_positive

FORMS = ("out", "in")
DENOMINATORS = ("all", "one", "negatives")
ANCHORS = ("all", "one")


class Contrast(NamedTuple):
    """What :func:`supcon_loss` returns, 0-d tensors.

    Attributes:
        loss: mean over the anchors that count, 0 if none does; averaged over processes, it and its
            gradient are those of one process with the whole batch.
        anchors: how many anchors count, in all processes.
        positives: mean |P(i)| over all anchors, also those without a positive.
        collapsed: what ``loss`` would be if all features were equal.
    """

    loss: Tensor
    anchors: Tensor
    positives: Tensor
    collapsed: Tensor


@dataclass(frozen=True)
class ContrastOptions:
    """Which variant of the loss.

    Attributes:
        temperature: τ > 0.
        form: where the sum over positives stands: "out"side or "in"side the logarithm.
        denominator: "all" = positives and negatives, "one" = the positive itself and the negatives,
            "negatives" = these alone (then anchors without negatives do not count).
        anchors: "all" views, or "one" = the first of each image; views to compare with are always
            all.
        max_positives: most positives from other images, a multiple of the number of views; None =
            no limit. Taken are the class's next images in the order of the step, cyclically; the
            others leave the denominator, too.
        chunk: anchors at a time, recomputed in the backward pass; None = all at once. The result is
            the same.

    Raises:
        ValueError: an illegal value.
    """

    temperature: float = 0.1
    form: str = "out"
    denominator: str = "all"
    anchors: str = "all"
    max_positives: int | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        check_positive(temperature=self.temperature)
        check_choice("form", self.form, FORMS)
        check_choice("denominator", self.denominator, DENOMINATORS)
        check_choice("anchors", self.anchors, ANCHORS)
        if self.max_positives is not None and self.max_positives < 0:
            raise ValueError(f"max_positives={self.max_positives}: must be None or at least 0")
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk={self.chunk}: must be None or at least 1")


def supcon_loss(z: Tensor, labels: Tensor | None, options: ContrastOptions) -> Contrast:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, equations 2 and 3), mean over
    anchors, not scaled.

    With s = cos/τ, P(i) the other views that share a class or the image with anchor i, and D its
    denominator:

        "out":  ℓ_i = −1/|P(i)| · Σ_{p ∈ P(i)} log( exp(s_ip) / Σ_{a ∈ D} exp(s_ia) )
        "in":   ℓ_i = −log( 1/|P(i)| · Σ_{p ∈ P(i)} exp(s_ip) / Σ_{a ∈ D} exp(s_ia) )

    Anchors without a positive contribute nothing and are not counted.

    Args:
        z: (B, V, D) float, V ≥ 1, any scale; B the same on all processes.
        labels: (B,) integers, below 0 = not known; or (B, C) bool, where sharing one class is
            enough; None = none is known. An image without a label has its own views as positives
            only, and is a negative to all others.
        options: the variant.

    Raises:
        ValueError: labels of another shape or type, or ``max_positives`` no multiple of V.

    For a anchors here and n views in the step O(a·n·D) time and O(a·n) memory, with ``chunk``
    O(chunk·n).
    """
    _check_input(z, labels, options)
    images, views = z.shape[:2]
    used = 1 if options.anchors == "one" else views
    with no_autocast(z):
        z = F.normalize(full_precision(z), dim=2)
        entries = gather(z)  # (N, V, D), images in rank order
        everyone = None if labels is None else _gather_labels(labels)
        own = torch.arange(images, device=z.device) + get_rank() * images
        compute = anchor_terms if options.chunk is None else _InPieces.apply
        losses, positives, negatives = compute(z[:, :used], entries, own, labels, everyone, options)
        return _summary(losses, positives, negatives, options.denominator)


def anchor_terms(
    z: Tensor,
    entries: Tensor,
    own: Tensor,
    labels: Tensor | None,
    everyone: Tensor | None,
    options: ContrastOptions,
) -> tuple[Tensor, Tensor, Tensor]:
    """Terms of the anchors z (b, U, D) of images ``own`` (b,): losses (b, U), numbers of positives
    and negatives (b,).

    Without a positive the loss is finite and means nothing.
    """
    (images, used), (total, views) = z.shape[:2], entries.shape[:2]
    related, kept = positive_images(
        own, total, labels, everyone, _images_to_keep(options.max_positives, views)
    )
    positives = kept.repeat_interleave(used, 0).repeat_interleave(views, 1)
    itself = (own[:, None] * views + torch.arange(used, device=own.device)).flatten()
    positives[torch.arange(len(itself), device=own.device), itself] = False
    negatives = (~related).repeat_interleave(used, 0).repeat_interleave(views, 1)
    logits = z.flatten(0, 1) @ entries.flatten(0, 1).T / options.temperature
    losses = anchor_losses(
        logits, positives, negatives, form=options.form, denominator=options.denominator
    )
    return losses.view(images, used), kept.sum(1) * views - 1, (total - related.sum(1)) * views


class _InPieces(torch.autograd.Function):
    """:func:`anchor_terms`, ``options.chunk`` anchors at a time, computed anew in the backward
    pass.

    Results go into tensors made beforehand: kept piece by piece, they came to lie between the
    pieces' large temporaries, whose memory was not used again (2.7 GB in place of 1.1 GB for 16,384
    views on a CPU).
    """

    @staticmethod
    def forward(  # noqa: ANN205
        ctx,  # noqa: ANN001 – torch's own context object
        z: Tensor,
        entries: Tensor,
        own: Tensor,
        labels: Tensor | None,
        everyone: Tensor | None,
        options: ContrastOptions,
    ):
        ctx.save_for_backward(z, entries)
        ctx.rest = own, labels, everyone, options
        results = z.new_empty(z.shape[:2]), own.new_empty(len(own)), own.new_empty(len(own))
        for part, inputs in _pieces(z, *ctx.rest):
            for result, values in zip(
                results, anchor_terms(inputs[0], entries, *inputs[1:]), strict=True
            ):
                result[part] = values
        ctx.mark_non_differentiable(*results[1:])
        return results

    @staticmethod
    def backward(ctx, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN001
        z, entries = ctx.saved_tensors
        grads = torch.empty_like(z), torch.zeros_like(entries)
        entries = entries.detach().requires_grad_()
        for part, inputs in _pieces(z, *ctx.rest):
            anchors = inputs[0].detach().requires_grad_()
            with torch.enable_grad(), no_autocast(z):
                losses = anchor_terms(anchors, entries, *inputs[1:])[0]
            of_anchors, of_entries = torch.autograd.grad(losses, (anchors, entries), grad[part])
            grads[0][part] = of_anchors
            grads[1].add_(of_entries)
        return *grads, *(None for _ in ctx.rest)


def _pieces(
    z: Tensor, own: Tensor, labels: Tensor | None, everyone: Tensor | None, options: ContrastOptions
) -> Iterator[tuple[slice, tuple]]:
    """Yields slices of images with their arguments of :func:`anchor_terms` but the entries."""
    step = max(1, options.chunk // z.shape[1])
    for start in range(0, len(z), step):
        part = slice(start, start + step)
        yield (
            part,
            (z[part], own[part], None if labels is None else labels[part], everyone, options),
        )


def anchor_losses(
    logits: Tensor, positives: Tensor, negatives: Tensor, *, form: str, denominator: str
) -> Tensor:
    """Losses (r,) of r anchors, finite with finite gradients also where an anchor lacks positives
    or negatives.

    Args:
        logits: (r, n). An anchor's similarity to itself must be in neither mask: it would be the
            row's maximum, beside which the others underflow.
        positives, negatives: (r, n) bool.
        form, denominator: see :class:`ContrastOptions`.
    """
    count = positives.sum(1).clamp_min(1).to(logits.dtype)
    if denominator == "one":
        rest = _logsumexp(logits, negatives, empty=-math.inf)
        logits, whole = logits - torch.logaddexp(logits, rest[:, None]), 0
    else:
        whole = _logsumexp(
            logits, positives | negatives if denominator == "all" else negatives, empty=0
        )
    if form == "out":
        return whole - torch.where(positives, logits, 0).sum(1) / count
    return whole + count.log() - _logsumexp(logits, positives, empty=0)


def positive_images(
    own: Tensor, total: int, labels: Tensor | None, everyone: Tensor | None, keep: int | None
) -> tuple[Tensor, Tensor]:
    """Which images are positives of which.

    Args:
        own: (b,) int64, places of the anchors' images among all. total: N, number of all images.
        labels, everyone: labels of these and of all images, see :func:`supcon_loss`.
        keep: most positive images beside the own one; None = no limit.

    Returns:
        (b, N) bool: images that are no negatives, and those of them that are kept as positives.
        Both hold the own one.
    """
    if everyone is None:
        related = torch.zeros(len(own), total, dtype=torch.bool, device=own.device)
    elif everyone.ndim == 1:
        related = (labels[:, None] == everyone) & (labels >= 0)[:, None]
    else:
        related = labels.float() @ everyone.float().T > 0
    if keep is None:
        kept = related = related.scatter(1, own[:, None], True)
        return related, kept
    others = related.scatter(1, own[:, None], False)
    place = others.cumsum(1, dtype=torch.int32)
    before = place.gather(1, own[:, None])
    turn = (place - 1 - before) % place[:, -1:].clamp_min(
        1
    )  # 0 for the next image of the class, going round
    kept = others & (turn < keep)
    return related.scatter(1, own[:, None], True), kept.scatter(1, own[:, None], True)


def _summary(losses: Tensor, positives: Tensor, negatives: Tensor, denominator: str) -> Contrast:
    """Averages over the anchors of all processes; (b, U) losses, (b,) counts."""
    size = {"all": positives + negatives, "one": 1 + negatives, "negatives": negatives}[denominator]
    counts = positives > 0 if denominator != "negatives" else (positives > 0) & (negatives > 0)
    valid = counts[:, None].expand_as(losses)
    anchors = valid.sum().to(losses.dtype)
    if get_world_size() > 1:
        dist.all_reduce(anchors)
    with torch.no_grad():
        collapsed = mean_over_valid(size.clamp_min(1).to(losses.dtype).log(), counts)
        mean_positives = mean_over_valid(positives.to(losses.dtype), torch.ones_like(counts))
    return Contrast(mean_over_valid(losses, valid), anchors, mean_positives, collapsed)


def _logsumexp(x: Tensor, mask: Tensor, *, empty: float) -> Tensor:
    """log Σ exp over the masked entries of each row of x (r, n); ``empty``, without gradient, where
    there is none.
    """
    nothing = ~mask.any(1)
    # A row of −∞ alone would have gradients nan; it takes all entries instead, and its result is
    # replaced.
    value = x.masked_fill(~(mask | nothing[:, None]), -math.inf).logsumexp(1)
    return value.masked_fill(nothing, empty)


def _gather_labels(labels: Tensor) -> Tensor:
    """Labels of all processes in rank order; as bytes on the way, because not every back-end moves
    bool.
    """
    return gather(labels.to(torch.uint8)).bool() if labels.dtype == torch.bool else gather(labels)


def _images_to_keep(max_positives: int | None, views: int) -> int | None:
    return None if max_positives is None else max_positives // views


def _check_input(z: Tensor, labels: Tensor | None, options: ContrastOptions) -> None:
    if z.ndim != 3:
        raise ValueError(f"z has shape {tuple(z.shape)}: must be (B, V, D)")
    if options.max_positives is not None and options.max_positives % z.shape[1]:
        raise ValueError(
            f"max_positives={options.max_positives}: must be a multiple of the {z.shape[1]} "
            "views per image"
        )
    if labels is None:
        return
    several = labels.ndim == 2 and labels.dtype == torch.bool
    single = labels.ndim == 1 and labels.dtype != torch.bool and not labels.is_floating_point()
    if not (single or several) or len(labels) != len(z):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} and type {labels.dtype} for {len(z)} "
            "images: must be (B,) integers or (B, C) bool"
        )
