"""Which checkpoint dense structure advises, why, and how far that can be trusted.

DSE reads no labels, so it may be wrong, and its weight λ depends on which checkpoints a run has.
The advice therefore names every reason for doubt that can be seen without labels. Where one of them
leaves DSE no say, the last checkpoint is advised, as it would be without DSE.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pretrain.hooks.dense_structure import balance, candidates, estimate
from pretrain.hooks.structure_course import Look

FEW = 5  # checkpoints; λ is a quotient of two standard deviations over them


@dataclass(frozen=True)
class Advice:
    """What DSE says of the checkpoints of one run.

    Attributes:
        looks: one per checkpoint, in their order.
        from_random: whether the run began from random weights.
        dse: of each. balance: λ of these checkpoints.
        highest: place of the highest DSE among those that can still be had.
        proposed: places of the highest local maxima, at most three, the highest first.
        place: of the advised checkpoint: the highest, or the last where DSE has no say.
        overruled: why DSE has no say; empty where it has.
        doubts: why its say is weak, a clause each.
    """

    looks: tuple[Look, ...]
    from_random: bool
    dse: tuple[float, ...]
    balance: float
    highest: int
    proposed: tuple[int, ...]
    place: int
    overruled: str
    doubts: tuple[str, ...]

    @property
    def look(self) -> Look:
        """That of the advised checkpoint."""
        return self.looks[self.place]

    @property
    def strength(self) -> str:
        """How far to trust DSE here, in words; never more than a hint."""
        if self.overruled:
            return "not at all"
        return "a weak hint" if self.doubts else "a hint"


def scores(looks: Sequence[Look]) -> np.ndarray:
    """DSE of checkpoints, (n,) float64, with λ over these."""
    return estimate([look.class_part for look in looks], [look.dimension for look in looks])


def share_scores(looks: Sequence[Look]) -> np.ndarray:
    """DSE on each share of the images, (shares, n) float64, each with its own λ over these."""
    values = np.array([look.shares for look in looks], np.float64).reshape(len(looks), -1, 2)
    rows = np.empty((values.shape[1], len(looks)))
    for share in range(len(rows)):
        rows[share] = estimate(values[:, share, 0], values[:, share, 1])
    return rows


def advise(
    looks: Sequence[Look], *, from_random: bool, kept: Collection[int] | None = None
) -> Advice:
    """Weighs the checkpoints of a run.

    Args:
        looks: at least one, in their order.
        from_random: whether the run began from random weights.
        kept: steps of which the weights can still be had, the last among them; None: all.
    """
    classes = np.array([look.class_part for look in looks])
    ranks = np.array([look.dimension for look in looks])
    dse, last = scores(looks), len(looks) - 1
    there = np.array([kept is None or look.step in kept for look in looks])
    highest = int(np.where(there, dse, -np.inf).argmax())
    by_share = np.where(there, share_scores(looks), -np.inf).argmax(1)
    agreeing = int((by_share == highest).sum())
    overruled = _overruling(agreeing, len(by_share), from_random=from_random)
    doubts = _doubts(looks, highest, classes=classes, ranks=ranks)
    if not len(by_share):
        doubts.append("there are too few images to tell whether others would agree")
    elif agreeing < len(by_share):
        doubts.append(f"{agreeing} of {len(by_share)} shares of the images agree")
    if highest != dse.argmax():
        doubts.append(
            f"step {looks[int(dse.argmax())].step:,} has a higher DSE, but was removed when λ "
            "placed it lower"
        )
    return Advice(
        looks=tuple(looks),
        from_random=from_random,
        dse=tuple(dse.tolist()),
        balance=balance(classes, ranks),
        highest=highest,
        proposed=tuple(candidates(dse)),
        place=last if overruled else highest,
        overruled=overruled,
        doubts=tuple(doubts),
    )


@dataclass(frozen=True)
class Fall:
    """DSE of the newest checkpoint lies below the best so far, although the loss improved.

    Attributes:
        best, now: the two checkpoints.
        dse: of both. loss: of both; where the best is the start, that of the checkpoint after it.
    """

    best: Look
    now: Look
    dse: tuple[float, float]
    loss: tuple[float, float]


def find_fall(looks: Sequence[Look], *, least: float) -> Fall | None:
    """Tells whether dense structure has fallen while the loss improved.

    It has if DSE lies below the best so far on all images and on every share of them, and one part
    has fallen by ``least``: M_inter − M_intra by that share of M_inter, or M_dim by that share of
    itself. DSE alone would not do: λ makes much of small changes in a run that hardly changes.

    Args:
        looks: in their order; with fewer than three λ says nothing.
        least: share that counts as a fall.
    """
    dse, now = scores(looks), looks[-1]
    place = int(dse.argmax())
    if len(looks) < 3 or place == len(looks) - 1:
        return None
    best, by_share = looks[place], share_scores(looks)
    of_classes = best.class_part - now.class_part >= least * best.inter
    of_ranks = best.dimension - now.dimension >= least * best.dimension
    everywhere = bool((by_share[:, -1] < by_share[:, place]).all())
    before = looks[max(place, 1)].loss
    improved = before is not None and now.loss is not None and now.loss < before
    if not (of_classes or of_ranks) or not everywhere or not improved:
        return None
    return Fall(best, now, (float(dse[place]), float(dse[-1])), (before, now.loss))


def drift_share(cosine: float, unrelated: float) -> float:
    """How far cells have gone from the start's: 0 = unchanged, 1 = no closer to what they were than
    two unrelated cells of the start are to each other.

    Networks whose cells share a common direction have a high cosine whatever happens to them, so
    the cosine alone does not tell.

    Args:
        cosine: mean cosine of cells to what they were at the start.
        unrelated: mean cosine of different cells at the start.
    """
    return (1 - cosine) / (1 - unrelated) if unrelated < 1 else 0.0


def _overruling(agreeing: int, shares: int, *, from_random: bool) -> str:
    """Why DSE has no say; empty where it has."""
    if from_random:
        return (
            "the run began from random weights, where DSE tends to be highest after the first "
            "steps: in three short runs of ours it took the first trained checkpoint each time, "
            "1.7 to 4.9 % mIoU below the best"
        )
    if 2 * agreeing <= shares and shares:
        return (
            f"only {agreeing} of {shares} shares of the images have their highest DSE there, so "
            "other images could point elsewhere"
        )
    return ""


def _doubts(
    looks: Sequence[Look], highest: int, *, classes: np.ndarray, ranks: np.ndarray
) -> list[str]:
    """What speaks against the highest DSE and can be seen without labels."""
    doubts = []
    if len(looks) < FEW:
        doubts.append(f"λ comes from {len(looks)} checkpoints, fewer than {FEW}")
    by_class, by_rank = int(classes.argmax()), int(ranks.argmax())
    if by_class != by_rank:
        doubts.append(
            f"M_inter − M_intra is highest at step {looks[by_class].step:,}, M_dim at step "
            f"{looks[by_rank].step:,}, so the choice hangs on λ"
        )
    if highest and highest == len(looks) - 1:
        doubts.append("it is the last checkpoint, and a longer run may go on rising")
    elif highest == 1:
        doubts.append("it is the first checkpoint after the start, where DSE has misled before")
    return doubts
