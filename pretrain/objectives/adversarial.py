"""Adversarial contrastive learning around any objective: it also sees attacked views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import BatchEncodings
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.attack import (
    Attack,
    AttackedLoss,
    ChangedEncodings,
    Layout,
    changed_batch,
    check_whole,
    detached,
)
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.ranges import check_not_negative
from pretrain.structures import Batch
from pretrain.terms import total_loss

CHOICES = {
    "source": ("anchor", "other", "both"),
    "form": ("pair", "joint"),
    "attack": ("fgsm", "pgd"),
    "norm": ("second", "shared"),
    "attack_bn": ("train_adv", "eval_adv"),
}


@MODELS.register_module()
class Adversarial(Objective):
    """L(views) + α · L(attacked pair) for any objective L; CLAE (Ho & Vasconcelos, NeurIPS 2020,
    arXiv 2010.12050).

    The adversary raises L by changing pixels; crops, geometry, labels and what the target network
    sees stay.

    Args:
        objective: the inner objective, a dict with its ``type``.
        source: which pixels are attacked, and what the inner objective sees in the second term.
            "anchor": (view 0, attacked view 0), CLAE's code. "other": (view 0, attacked view 1).
            "both": all views of the group, each attacked.
        form: "pair": first term on the clean views. "joint": first term on view 0, view 1 and the
            attacked one together, as in RoCL; only with an inner objective that takes any number of
            views.
        alpha: α, weight of the second term; 0 with "pair" leaves the inner objective alone.
        attack: "fgsm": one step of length ``epsilon``. "pgd": ``steps`` steps of ``step_size``.
        epsilon: largest change of a pixel, in 1/255 of its range; CLAE's 0.03 at a std of 0.5 is
            3.825.
        steps, step_size: of "pgd", which needs both; ``step_size`` in 1/255.
        random_start: begin at a random point within ``epsilon``.
        attacked_first: the attacked view stands before the kept one; for inner objectives that send
            their gradient to the first view alone.
        norm: "second": attacked images have BatchNorms of their own in the backbone. "shared": one
            set for all.
        attack_bn: during the attack BatchNorms use the batch's statistics and update their running
            ones ("train_adv"), or backbone and heads are in evaluation mode ("eval_adv").

    Raises:
        ValueError: a value that is not legal, or a combination that the inner objective does not
            allow.
    """

    def __init__(
        self,
        features: FeatureInfo,
        *,
        objective: dict[str, Any],
        source: str = "anchor",
        form: str = "pair",
        alpha: float = 1.0,
        attack: str = "fgsm",
        epsilon: float = 3.825,
        steps: int | None = None,
        step_size: float | None = None,
        random_start: bool = False,
        attacked_first: bool = False,
        norm: str = "second",
        attack_bn: str = "train_adv",
    ) -> None:
        super().__init__(features)
        given = dict(source=source, form=form, attack=attack, norm=norm, attack_bn=attack_bn)
        for name, value in given.items():
            check_choice(name, value, CHOICES[name])
        check_not_negative(alpha=alpha)
        self.source, self.form, self.alpha = source, form, alpha
        self.attacked_first = attacked_first
        self.frozen = attack_bn == "eval_adv"
        self.norm = "adversarial" if norm == "second" else "clean"
        self.attack = _attack(
            attack, epsilon, steps=steps, step_size=step_size, random_start=random_start
        )
        self.objective = _inner(objective, features)
        self.temperature = self.objective.temperature
        self._check_views()
        self.needs = self._needs()

    @property
    def attacks(self) -> bool:
        """Whether there is an attacked term."""
        return self.form == "joint" or self.alpha > 0

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Those of the inner objective, for ``loss`` and the views that it sees there."""
        if self.form == "joint":
            group, layout = self.objective.needs.attacked, self._joint_layout()
            pixels = batch.views[group].images[:, layout.attacked]
            batch = changed_batch(batch, group, layout, pixels)
        return self.objective.bounds(batch, terms)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Those of the inner objective."""
        return self.objective.momentum_pairs()

    def update_memory(self, batch: Batch, encode: BatchEncodings) -> None:
        """Updates the inner objective's with the clean batch."""
        self.objective.update_memory(batch, encode)

    def forward(self, batch: Batch, encode: BatchEncodings) -> dict[str, Tensor]:
        """Returns the inner objective's terms and ``adversarial_loss``, α times its loss on the
        attacked pair.

        Logged besides: ``before`` and ``after``, the loss that the adversary raises, at its start
        and at its end (same route of the images for both); ``delta``, the mean change of a pixel in
        1/255; ``attacked``, the share of pixel values that were changed.
        """
        if not self.attacks:
            return self.objective(batch, encode)
        group = self.objective.needs.attacked
        images = batch.views[group].images
        layout = self.layout(images.shape[1])
        # A slice keeps the memory format.
        start = images[:, layout.attacked[0] : layout.attacked[-1] + 1]
        raised = self.attacked_loss(batch, encode, layout)
        pixels, before = self.attack(start, raised, encode.normalisation)
        check_whole(self)
        with torch.no_grad():
            # In evaluation mode before the next pass moves the running statistics.
            after = raised(pixels) if self.frozen else None
        clean = [encode.online(group)[view] for view in layout.kept]
        pair = ChangedEncodings(encode, group, layout, clean, pixels, norm=self.norm, frozen=False)
        second = total_loss(self.objective(changed_batch(batch, group, layout, pixels), pair))
        if after is None:
            with torch.no_grad():
                after = raised(pixels, pair.known and detached(pair.known))
        if self.form == "pair":
            terms = self.objective(batch, encode)
        else:
            terms = self._joint(batch, encode, pair, pixels)
        own = {"adversarial_loss": self.alpha * second, "before": before, "after": after}
        return {**terms, **own, **_size(pixels - start, encode.normalisation[1])}

    def layout(self, count: int) -> Layout:
        """Returns the views that make the attacked pair, of ``count``."""
        if self.source == "both":
            return Layout((), tuple(range(count)), self.attacked_first)
        return Layout((0,), (0,) if self.source == "anchor" else (1,), self.attacked_first)

    def attacked_loss(self, batch: Batch, encode: BatchEncodings, layout: Layout) -> AttackedLoss:
        """Returns the loss to raise. Where the kept view is the start of the attack itself, it is
        not encoded again.
        """
        own = layout.kept == layout.attacked and not self.attack.random_start
        return AttackedLoss(
            self.objective,
            batch,
            encode,
            layout=layout,
            reference=None if own else self._reference(batch, encode, layout.kept),
            norm=self.norm,
            frozen=self.frozen,
        )

    @torch.no_grad()
    def _reference(
        self, batch: Batch, encode: BatchEncodings, kept: tuple[int, ...]
    ) -> list[Features]:
        """Features of the kept views, encoded as the attacked ones are."""
        group = self.objective.needs.attacked
        if not kept:
            return []
        if self.norm == "clean" and not self.frozen:
            # The encodings are kept for the loss, which needs their graph.
            with torch.enable_grad():
                clean = encode.online(group)
            return detached([clean[view] for view in kept])
        images = batch.views[group].images[:, kept]
        return encode.online(group, images, norm=self.norm, frozen=self.frozen)

    def _joint(
        self, batch: Batch, encode: BatchEncodings, pair: ChangedEncodings, pixels: Tensor
    ) -> dict[str, Tensor]:
        """The inner objective on views 0 and 1 and the attacked one."""
        group = self.objective.needs.attacked
        layout = self._joint_layout()
        together = pair.with_kept(layout, encode.online(group)[:2])
        return self.objective(changed_batch(batch, group, layout, pixels), together)

    def _joint_layout(self) -> Layout:
        return Layout((0, 1), self.layout(2).attacked)

    def _check_views(self) -> None:
        """Raises ValueError if the inner objective cannot see the views of this source and form."""
        needs, name = self.objective.needs, type(self.objective).__name__
        if needs.masked:
            raise ValueError(f"objective {name}: views of which cells are hidden are not attacked")
        if needs.reference:
            raise ValueError(f"objective {name}: views held to a frozen network are not attacked")
        if self.source != "both" and not (needs.views == 2 or needs.any_views):
            raise ValueError(
                f"source={self.source!r}: {name} does not compare two views of a group; use "
                "source='both'"
            )
        if self.form == "joint" and not needs.any_views:
            raise ValueError(f"form='joint': {name} does not take a third view; use form='pair'")
        if self.form == "joint" and self.source == "both":
            raise ValueError(
                "form='joint' with source='both': it takes one attacked view, source='anchor' "
                "or 'other'"
            )

    def _needs(self) -> Needs:
        """Those of the inner objective, and what attacked views need besides."""
        inner = self.objective.needs
        views = inner.views if self.source == "both" else max(2, inner.views)
        second_norms = self.norm == "adversarial" and self.attacks
        return replace(inner, views=views, second_norms=second_norms)


def _inner(objective: dict[str, Any], features: FeatureInfo) -> Objective:
    """Builds the inner objective."""
    if "weight" in objective:
        raise ValueError(
            f"objective={objective}: its weight belongs to Adversarial, as that of any objective"
        )
    inner = MODELS.build({**objective, "features": features})
    if not isinstance(inner, Objective) or isinstance(inner, Adversarial):
        raise ValueError(f"objective={objective}: must be an objective, and not an attacked one")
    return inner


def _attack(
    kind: str, epsilon: float, *, steps: int | None, step_size: float | None, random_start: bool
) -> Attack:
    """Returns the attack of the constructor's options."""
    check_not_negative(epsilon=epsilon)
    if kind == "fgsm":
        if steps is not None or step_size is not None:
            raise ValueError(
                f"steps={steps}, step_size={step_size}: only with attack='pgd'; fgsm is one step"
            )
        return Attack(epsilon, epsilon, 1, random_start)
    if steps is None or steps < 1 or step_size is None or step_size <= 0:
        raise ValueError(
            f"steps={steps}, step_size={step_size}: attack='pgd' needs both, at least 1 and above 0"
        )
    return Attack(epsilon, step_size, steps, random_start)


def _size(delta: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Metrics of a change (B, n, 3, H, W) of normalised pixels."""
    return {"delta": 255 * (delta * std).abs().mean(), "attacked": (delta != 0).float().mean()}
