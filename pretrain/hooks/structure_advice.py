"""Which checkpoint dense structure advises, why, and how far that can be trusted.

DSE reads no labels, so it may be wrong, and its weight λ depends on which checkpoints a run has.
The advice therefore names every reason for doubt that can be seen without labels. Where one of them
leaves DSE no say, the last checkpoint is advised, as it would be without DSE; or the start, if the
run began from given weights and the last one has lost structure or turned away from them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pretrain.engine.checkpoints import saved_steps
from pretrain.hooks.dense_structure import balance, candidates, estimate
from pretrain.hooks.structure_course import RANDOM, Look, read_course

FEW = 5  # checkpoints; λ is a quotient of two standard deviations over them
TINY = 1e-12  # parts are 0 where all cells are alike
# Parts in the order of a look's shares, and what a fall of each is a share of.
_PARTS = {"class_part": "inter", "dimension": "dimension"}
_NAMES = {"class_part": "M_inter − M_intra", "dimension": "M_dim"}


@dataclass(frozen=True)
class Advice:
    """What DSE says of the checkpoints of one run.

    Attributes:
        looks: one per checkpoint, in their order.
        from_random: whether the run began from random weights.
        dse: of each. balance: λ of these checkpoints.
        highest: place of the highest DSE among those that can still be had.
        proposed: places of the highest local maxima, at most three, the highest first.
        place: of the advised checkpoint: the highest, or where DSE has no say the last or the
            start.
        overruled: why DSE has no say; empty where it has.
        lost: what speaks against the last one, so that the start is advised in its place.
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
    lost: str
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
    looks: Sequence[Look],
    *,
    from_random: bool,
    kept: Collection[int] | None = None,
    limits: Limits | None = None,
) -> Advice:
    """Weighs the checkpoints of a run.

    Args:
        looks: at least one, in their order.
        from_random: whether the run began from random weights.
        kept: steps of which the weights can still be had, the last among them; None: all.
        limits: None takes the defaults.
    """
    classes = np.array([look.class_part for look in looks])
    ranks = np.array([look.dimension for look in looks])
    dse, last = scores(looks), len(looks) - 1
    there = np.array([kept is None or look.step in kept for look in looks])
    highest = int(np.where(there, dse, -np.inf).argmax())
    by_share = np.where(there, share_scores(looks), -np.inf).argmax(1)
    agreeing = int((by_share == highest).sum())
    overruled = _overruling(agreeing, len(by_share), from_random=from_random)
    lost = "" if from_random or not overruled else _losses(looks, limits or Limits())
    instead = 0 if lost and looks[0].step == 0 else last
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
        place=instead if overruled else highest,
        overruled=overruled,
        lost=lost,
        doubts=tuple(doubts),
    )


def advise_run(folder: str | Path) -> Advice | None:
    """What DSE says of the checkpoints of a run whose training is over, by the run's own limits;
    None of a run without ``DenseStructureHook``.

    Args:
        folder: of the run. The weights of its last look can be had, as ``final.pth`` if it reached
            its end; those of its start, too.

    Raises:
        ValueError: what the hook wrote is damaged.
    """
    facts, looks = read_course(folder)
    if not looks:
        return None
    kept = {step for step, _ in saved_steps(folder)}
    own_limits = {name: facts[name] for name in vars(Limits()) if name in facts}
    return advise(
        looks,
        from_random=facts.get("start") == RANDOM,
        kept=kept | {0, looks[-1].step},
        limits=Limits(**own_limits),
    )


@dataclass(frozen=True)
class Limits:
    """What counts as a fall, and as drift; ours.

    Attributes:
        fall: share of M_dim, or of M_inter for M_inter − M_intra, by which that part must lie below
            its highest value so far.
        drift: share of the way from the start's cells to unrelated ones, see :func:`drift_share`.

    Raises:
        ValueError: a share outside (0, 1].
    """

    fall: float = 0.1
    drift: float = 0.5

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 < share <= 1:
                raise ValueError(f"{name}={share}: must be in (0, 1]")


@dataclass(frozen=True)
class Fall:
    """A part of the structure lies below its highest value, although the loss improved.

    Attributes:
        part: its name. before, after: its values. size: of the fall, in the unit of
            :class:`Limits`.
        best, now: the checkpoints that have them.
        loss: of both; where the best is the start, that of the checkpoint after it.
    """

    part: str
    size: float
    before: float
    after: float
    best: Look
    now: Look
    loss: tuple[float, float]


def find_fall(looks: Sequence[Look], least: float) -> Fall | None:
    """Tells whether dense structure has fallen while the loss improved.

    It has if one of its parts lies below its highest value so far by ``least``, and on every share
    of the images. The parts are looked at by themselves: in DSE one of them may make up for the
    other, and λ makes much of small changes in a run that hardly changes.

    Args:
        looks: in their order. least: see :class:`Limits`.

    Returns:
        The larger fall, if there is any.
    """
    falls = []
    for number, (part, unit) in enumerate(_PARTS.items()):
        fall = _fall_of(looks, number, part=part, unit=unit)
        if fall is not None and fall.size >= least:
            falls.append(fall)
    return max(falls, key=lambda fall: fall.size, default=None)


def _fall_of(looks: Sequence[Look], number: int, *, part: str, unit: str) -> Fall | None:
    """The fall of one part, however small, if the loss improved.

    Args:
        number: of the part in a look's shares. part, unit: attributes of a look.
    """
    values = np.array([getattr(look, part) for look in looks])
    place, now = int(values.argmax()), looks[-1]
    best = looks[place]
    everywhere = True
    for old, new in zip(best.shares, now.shares, strict=True):
        everywhere &= new[number] < old[number]
    before = looks[min(max(place, 1), len(looks) - 1)].loss
    improved = before is not None and now.loss is not None and now.loss < before
    if not everywhere or not improved:
        return None
    lost = float(values[place] - values[-1])
    return Fall(
        part=_NAMES[part],
        size=lost / max(getattr(best, unit), TINY),
        before=float(values[place]),
        after=float(values[-1]),
        best=best,
        now=now,
        loss=(before, now.loss),
    )


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


def _losses(looks: Sequence[Look], limits: Limits) -> str:
    """What the last checkpoint has lost since the start of a run from given weights."""
    losses, last = [], looks[-1]
    fall = find_fall(looks, limits.fall)
    if fall is not None:
        losses.append(f"its {fall.part} has fallen from {fall.before:.4g} to {fall.after:.4g}")
    if last.drift is not None and last.drift >= limits.drift:
        losses.append(
            f"its cells have gone {100 * last.drift:.0f} % of the way from the start's to "
            "unrelated ones"
        )
    return " and ".join(losses)


def _doubts(
    looks: Sequence[Look], highest: int, *, classes: np.ndarray, ranks: np.ndarray
) -> list[str]:
    """What speaks against the highest DSE and can be seen without labels."""
    doubts = []
    if len(looks) < FEW:
        doubts.append(f"λ comes from {len(looks)} checkpoints, fewer than {FEW}")
    by_class, by_rank = int(classes.argmax()), int(ranks.argmax())
    if classes[by_rank] < classes.max() and ranks[by_class] < ranks.max():
        doubts.append(
            f"M_inter − M_intra is highest at step {looks[by_class].step:,}, M_dim at step "
            f"{looks[by_rank].step:,}, so the choice hangs on λ"
        )
    if highest and highest == len(looks) - 1:
        doubts.append("it is the last checkpoint, and a longer run may go on rising")
    elif highest == 1:
        doubts.append("it is the first checkpoint after the start, where DSE has misled before")
    return doubts
