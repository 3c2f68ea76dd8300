"""Dense structure of a run in words: the advice at its end, the warnings on its way."""

from __future__ import annotations

from collections.abc import Mapping

from pretrain.hooks.structure_advice import Advice, Fall
from pretrain.hooks.structure_course import Look

MOST_ROWS = 15
_HEAD = (
    f"{'step':>9}  M_inter  M_intra  M_inter−M_intra    M_dim      DSE  cosine to start      loss"
)


def advice_text(advice: Advice, names: Mapping[int, str], *, images: int) -> str:
    """The advice as it is shown, several lines.

    Args:
        advice: what to say.
        names: step -> what to call its checkpoint, of those that can still be had.
        images: how many were looked at.
    """
    looks, look = advice.looks, advice.look
    lines = [
        f"dense structure of {images} fixed images, no label read; λ = {advice.balance:.4g} over "
        f"{len(looks)} checkpoints",
        _HEAD,
    ]
    for place in _shown(advice):
        lines.append(_row(looks[place], advice.dse[place], highest=place == advice.highest))
    lines.append(f"advice: {names[look.step]} (step {look.step:,})")
    lines.append(f"why: {_reason(advice, names)}")
    doubts = f": {'; '.join(advice.doubts)}" if advice.doubts else ""
    lines.append(f"how sure DSE is: {advice.strength}{doubts}")
    others = [looks[place].step for place in (advice.highest, *advice.proposed)]
    others += [looks[-1].step] if advice.from_random else [looks[-1].step, 0]
    known = dict.fromkeys(names[step] for step in others if step in names)
    lines.append(
        "DSE cannot know what your task needs. Some labelled masks can: measure "
        f"{', '.join(known)} by pixelpretext evaluate … --benchmark retrieval --data LAYOUT:ROOT"
    )
    return "\n".join(lines)


def _reason(advice: Advice, names: Mapping[int, str]) -> str:
    """Why the advised checkpoint is advised."""
    top, last = advice.looks[advice.highest], advice.looks[-1]
    highest, newest = advice.dse[advice.highest], advice.dse[-1]
    if not advice.overruled:
        return f"its DSE is highest, {highest:.4f}; the last has {newest:.4f}"
    where = "the last has the highest DSE, which says little here"
    if top != last:
        where = f"DSE is highest at step {top.step:,} ({names[top.step]}), but has no say here"
    if not advice.lost:
        return f"it is the last one, as without DSE; {where}: {advice.overruled}"
    if advice.look == last:
        return f"it is the last one, although {advice.lost}; {where}: {advice.overruled}"
    return f"it is the untouched one; of the last, {advice.lost}. {where}: {advice.overruled}"


def fall_text(fall: Fall, best: str) -> str:
    """Warning that dense structure falls while the loss improves.

    Args:
        fall: what happened. best: what to call the checkpoint before the fall.
    """
    return (
        f"step {fall.now.step:,}: dense structure has fallen while the loss improved.\n"
        f"  {fall.part} {fall.before:.4g} at step {fall.best.step:,} -> {fall.after:.4g}, lower on "
        f"every share of the images; loss {fall.loss[0]:.4f} -> {fall.loss[1]:.4f}\n"
        f"  No label was read: this is a reason to measure, not a result. Compare {best} with the "
        "newest checkpoint by pixelpretext evaluate. If the newest is worse, train with a lower "
        "learning rate (optimizer.backbone_lr), fewer blocks (optimizer.train_blocks) or fewer "
        "steps."
    )


def drift_text(now: Look) -> str:
    """Warning that the cells of a checkpoint have turned away from those of the start."""
    return (
        f"step {now.step:,}: cells have turned away from the start's: mean cosine "
        f"{now.cosine:.3f}, {100 * now.drift:.0f} % of the way from unchanged to unrelated cells.\n"
        "  What the start knew may be lost. If that was not wanted, lower the learning rate "
        "(optimizer.backbone_lr) or train fewer blocks (optimizer.train_blocks)."
    )


def look_text(look: Look, dse: float) -> str:
    """One line of the log."""
    cosine = "" if look.cosine is None else f"  cosine to start {look.cosine:.3f}"
    return (
        f"dense structure, step {look.step}: M_inter {look.inter:.4f}  M_intra {look.intra:.4f}  "
        f"M_dim {look.dimension:.1f}  DSE so far {dse:.4f}{cosine}"
    )


def _shown(advice: Advice) -> list[int]:
    """Places of the table's rows: all, or those that matter and some between them."""
    count = len(advice.looks)
    if count <= MOST_ROWS:
        return list(range(count))
    spread = {round(part * (count - 1) / (MOST_ROWS - 5)) for part in range(MOST_ROWS - 4)}
    return sorted(spread | {advice.highest, *advice.proposed})


def _row(look: Look, dse: float, *, highest: bool) -> str:
    cosine = "–" if look.cosine is None else f"{look.cosine:.3f}"
    loss = "–" if look.loss is None else f"{look.loss:.4f}"
    mark = "  <- highest" if highest else ""
    return (
        f"{look.step:>9,}  {look.inter:7.4f}  {look.intra:7.4f}  {look.class_part:15.4f}  "
        f"{look.dimension:7.1f}  {dse:7.4f}  {cosine:>15}  {loss:>8}{mark}"
    )
