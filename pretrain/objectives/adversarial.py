"""Adversarial contrastive learning around any objective: besides the views it also has to cope with
attacked ones.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.objectives.parts.attack import (
    Attack,
    AttackedLoss,
    ChangedEncodings,
    Layout,
    changed_batch,
    check_whole,
    detached,
    total_loss,
)
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.structures import Batch

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
            if value not in CHOICES[name]:
                raise ValueError(
                    f"{name}={value!r}: must be one of {', '.join(map(repr, CHOICES[name]))}"
                )
        if alpha < 0:
            raise ValueError(f"alpha={alpha}: must not be negative")
        self.source, self.form, self.alpha, self.attacked_first = (
            source,
            form,
            alpha,
            attacked_first,
        )
        self.frozen = attack_bn == "eval_adv"
        self.norm = "adversarial" if norm == "second" else "clean"
        self.attack = _attack(attack, epsilon, steps, step_size, random_start)
        self.objective = _inner(objective, features)
        self._check_views()
        self._take_over()

    @property
    def attacks(self) -> bool:
        """Whether there is an attacked term."""
        return self.form == "joint" or self.alpha > 0

    @property
    def bounds(self) -> Bounds:
        """Those of the inner objective, for ``loss``."""
        return self.objective.bounds

    @property
    def online_groups(self) -> tuple[str, ...]:
        """Those of the inner objective."""
        return self.objective.online_groups

    @property
    def target_groups(self) -> tuple[str, ...]:
        """Those of the inner objective."""
        return self.objective.target_groups

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Those of the inner objective."""
        return self.objective.momentum_pairs()

    def remember(self, batch: Batch, encode: Encodings) -> None:
        """The inner objective remembers the clean batch."""
        self.objective.remember(batch, encode)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns the inner objective's terms and ``adversarial_loss``, α times its loss on the
        attacked pair.

        Logged besides: ``before`` and ``after``, the loss that the adversary raises, at its start
        and at its end (same route of the images for both); ``delta``, the mean change of a pixel in
        1/255; ``attacked``, the share of pixel values that were changed.
        """
        if not self.attacks:
            return self.objective(batch, encode)
        group = self.objective.attacked
        images = batch.views[group].images
        layout = self.layout(images.shape[1])
        start = images[
            :, layout.attacked[0] : layout.attacked[-1] + 1
        ]  # a slice keeps the memory format
        raised = self.attacked_loss(batch, encode, layout)
        pixels, before = self.attack(start, raised, encode.normalisation)
        check_whole(self)
        with (
            torch.no_grad()
        ):  # in evaluation mode before the next pass moves the running statistics
            after = raised(pixels) if self.frozen else None
        clean = [encode.online(group)[view] for view in layout.kept]
        pair = ChangedEncodings(encode, group, layout, clean, pixels, norm=self.norm, frozen=False)
        second = total_loss(self.objective(changed_batch(batch, group, layout, pixels), pair))
        if after is None:
            with torch.no_grad():
                after = raised(pixels, pair.known and detached(pair.known))
        # Last, so that `bounds` are those of this term.
        terms = (
            self.objective(batch, encode)
            if self.form == "pair"
            else self._joint(batch, encode, pair, pixels)
        )
        return {
            **terms,
            "adversarial_loss": self.alpha * second,
            "before": before,
            "after": after,
        } | _size(pixels - start, encode.normalisation[1])

    def layout(self, count: int) -> Layout:
        """Returns the views that make the attacked pair, of ``count``."""
        kept, attacked = {
            "anchor": ((0,), (0,)),
            "other": ((0,), (1,)),
            "both": ((), tuple(range(count))),
        }[self.source]
        return Layout(kept, attacked, self.attacked_first)

    def attacked_loss(self, batch: Batch, encode: Encodings, layout: Layout) -> AttackedLoss:
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
    def _reference(self, batch: Batch, encode: Encodings, kept: tuple[int, ...]) -> list[Features]:
        """Features of the kept views, encoded as the attacked ones are."""
        group = self.objective.attacked
        if not kept:
            return []
        if self.norm == "clean" and not self.frozen:
            with (
                torch.enable_grad()
            ):  # the encodings are kept for the loss, which needs their graph
                clean = encode.online(group)
            return detached([clean[view] for view in kept])
        images = batch.views[group].images[:, kept]
        return encode.online(group, images, norm=self.norm, frozen=self.frozen)

    def _joint(
        self, batch: Batch, encode: Encodings, pair: ChangedEncodings, pixels: Tensor
    ) -> dict[str, Tensor]:
        """The inner objective on views 0 and 1 and the attacked one."""
        group = self.objective.attacked
        layout = Layout((0, 1), self.layout(2).attacked)
        together = pair.beside(layout, encode.online(group)[:2])
        return self.objective(changed_batch(batch, group, layout, pixels), together)

    def _check_views(self) -> None:
        """Raises ValueError if the inner objective cannot see the views of this source and form."""
        inner, name = self.objective, type(self.objective).__name__
        if self.source != "both" and not (inner.views_per_group == 2 or inner.takes_any_views):
            raise ValueError(
                f"source={self.source!r}: {name} does not compare two views of a group; use "
                "source='both'"
            )
        if self.form == "joint" and not inner.takes_any_views:
            raise ValueError(f"form='joint': {name} does not take a third view; use form='pair'")
        if self.form == "joint" and self.source == "both":
            raise ValueError(
                "form='joint' with source='both': it takes one attacked view, source='anchor' "
                "or 'other'"
            )

    def _take_over(self) -> None:
        """Asks the engine for what the inner objective needs."""
        inner = self.objective
        self.reads, self.attacked = inner.reads, inner.attacked
        self.needs_target, self.needs_labels = inner.needs_target, inner.needs_labels
        self.takes_any_views = inner.takes_any_views
        self.views_per_group = (
            inner.views_per_group if self.source == "both" else max(2, inner.views_per_group)
        )
        self.needs_adversarial_norm = self.norm == "adversarial" and self.attacks


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
    kind: str, epsilon: float, steps: int | None, step_size: float | None, random_start: bool
) -> Attack:
    """Returns the attack of the constructor's options."""
    if epsilon < 0:
        raise ValueError(f"epsilon={epsilon}: must not be negative")
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
