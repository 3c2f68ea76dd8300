"""What is advised, and how sure that is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pretrain.hooks.dense_structure import estimate
from pretrain.hooks.structure_advice import (
    Limits,
    advise,
    advise_run,
    drift_share,
    find_fall,
    scores,
    share_scores,
)
from pretrain.hooks.structure_course import RANDOM, Look, write_course
from pretrain.hooks.structure_text import MOST_ROWS, advice_text, drift_text, fall_text

CLASSES, RANKS = (0.10, 0.30, 0.25, 0.28, 0.20), (40.0, 50.0, 60.0, 52.0, 45.0)


def course(
    classes: Sequence[float] = CLASSES,
    ranks: Sequence[float] = RANKS,
    shares: Sequence[Sequence[tuple[float, float]]] | None = None,
    *,
    drift: float = 0.1,
) -> list[Look]:
    """Looks at steps 0, 100, 200, …, with the given parts; the loss falls from 3 by 0.1 each, and
    cells go ``drift`` further each.
    """
    looks = []
    for place, (class_part, rank) in enumerate(zip(classes, ranks, strict=True)):
        own = ((class_part, rank),) * 4 if shares is None else tuple(shares[place])
        looks.append(
            Look(
                inter=1.0,
                intra=1.0 - class_part,
                dimension=rank,
                step=100 * place,
                samples=1600 * place,
                cosine=1 - 0.1 * place,
                drift=drift * place,
                loss=3 - 0.1 * place if place else None,
                shares=own,
            )
        )
    return looks


def names(looks: Sequence[Look], *, without: Sequence[int] = ()) -> dict[int, str]:
    known = {}
    for look in looks:
        if look.step not in without:
            known[look.step] = f"iter_{look.step}.pth"
    return known


def test_the_specification_s_course_picks_its_maximum() -> None:
    looks = course()
    assert scores(looks) == pytest.approx(estimate(CLASSES, RANKS))
    advice = advise(looks, from_random=False)
    assert (advice.place, advice.highest, advice.proposed) == (2, 2, (2,))
    assert advice.balance == pytest.approx(0.0105983, abs=1e-7) and advice.overruled == ""
    assert advice.strength == "a weak hint"
    assert advice.doubts == (
        "M_inter − M_intra is highest at step 100, M_dim at step 200, so the choice hangs on λ",
    )


def test_a_hint_is_the_most_it_ever_is() -> None:
    advice = advise(course((0.1, 0.2, 0.4, 0.3, 0.1), (40, 50, 60, 52, 45)), from_random=False)
    assert (advice.doubts, advice.strength, advice.look.step) == ((), "a hint", 200)
    text = advice_text(advice, names(advice.looks), images=8)
    assert "advice: iter_200.pth (step 200)" in text and "how sure DSE is: a hint\n" in text
    assert "DSE cannot know what your task needs" in text


def test_from_random_weights_the_last_is_advised() -> None:
    advice = advise(course(), from_random=True)
    assert (advice.place, advice.highest, advice.strength) == (4, 2, "not at all")
    text = advice_text(advice, names(advice.looks), images=8)
    assert "advice: iter_400.pth (step 400)" in text
    assert "highest at step 200 (iter_200.pth), but has no say here: the run began from ran" in text


def test_the_start_may_be_advised() -> None:
    advice = advise(course((0.4, 0.3, 0.2, 0.1, 0.1), (60, 50, 45, 44, 40)), from_random=False)
    assert advice.place == 0 and advice.doubts == ()


@pytest.mark.parametrize(("agreeing", "place"), [(4, 2), (3, 2), (2, 4), (1, 4)])
def test_shares_that_disagree_weaken_the_advice_and_then_end_it(agreeing: int, place: int) -> None:
    parts = list(zip(CLASSES, RANKS, strict=True))
    turned = parts[::-1]
    turned[0], turned[3] = (0.35, 70.0), (0.1, 40.0)
    shares = []
    for number in range(5):
        shares.append([parts[number]] * agreeing + [turned[number]] * (4 - agreeing))
    looks = course(shares=shares)
    looks[4] = replace(looks[4], loss=9.0)  # so that no part has fallen while the loss improved
    advice = advise(looks, from_random=False)
    assert (share_scores(advice.looks).argmax(1) == 2).sum() == agreeing
    assert advice.place == place and bool(advice.overruled) == (agreeing <= 2)
    said = f"{agreeing} of 4 shares of the images agree" in " ".join(advice.doubts)
    assert said == (agreeing < 4)


def test_each_share_has_its_own_balance() -> None:
    shares = [[(c, r), (10 * c, r)] for c, r in zip(CLASSES, RANKS, strict=True)]
    rows = share_scores(course(shares=shares))
    assert rows[0] == pytest.approx(estimate(CLASSES, RANKS))
    assert rows[1] == pytest.approx(10 * estimate(CLASSES, RANKS))


def test_a_run_without_shares_has_none() -> None:
    looks = course(shares=[()] * 5)
    assert share_scores(looks).shape == (0, 5)
    advice = advise(looks, from_random=False)
    assert advice.place == 2 and advice.strength == "a weak hint"
    assert "there are too few images to tell whether others would agree" in advice.doubts


def test_a_checkpoint_that_is_gone_is_not_advised_but_spoken_of() -> None:
    looks = course()
    there = names(looks, without=[200])
    advice = advise(looks, from_random=False, kept=there)
    assert advice.look.step == 300
    assert "step 200 has a higher DSE, but was removed when λ placed it lower" in advice.doubts
    assert "iter_200" not in advice_text(advice, there, images=8)


def test_doubts_of_few_checkpoints_first_and_last() -> None:
    few = advise(course((0.1, 0.3, 0.2), (40, 60, 50)), from_random=False)
    assert few.doubts == (
        "λ comes from 3 checkpoints, fewer than 5",
        "it is the first checkpoint after the start, where DSE has misled before",
    )
    rising = advise(course((0.1, 0.2, 0.3, 0.4, 0.5), (1, 2, 3, 4, 5)), from_random=False)
    assert rising.doubts == ("it is the last checkpoint, and a longer run may go on rising",)
    assert advise(course((0.1,), (5,)), from_random=False).place == 0


def test_a_part_that_never_changes_does_not_disagree() -> None:
    advice = advise(course((0.1, 0.2, 0.4, 0.3, 0.1), (5.0,) * 5), from_random=False)
    assert (advice.look.step, advice.doubts) == (200, ())


def test_a_long_course_is_shown_in_part() -> None:
    rng = np.random.default_rng(0)
    looks = course(rng.random(80).tolist(), rng.random(80).tolist())
    advice = advise(looks, from_random=True)
    rows = advice_text(advice, names(looks), images=8).splitlines()[2:]
    shown = [row.split()[0].replace(",", "") for row in rows if row[:9].strip()[:1].isdigit()]
    assert len(shown) <= MOST_ROWS and {"0", "7900"} <= set(shown)
    assert {str(looks[place].step) for place in advice.proposed} <= set(shown)


def test_a_fall_needs_a_part_down_the_loss_down_and_every_share() -> None:
    looks = course((0.2, 0.4, 0.3, 0.2), (50, 60, 50, 40))
    fall = find_fall(looks, 0.1)
    assert (fall.part, fall.before, fall.after) == ("M_dim", 60, 40)
    assert (fall.best.step, fall.now.step) == (100, 300) and fall.size == pytest.approx(1 / 3)
    assert fall.loss == (2.9, pytest.approx(2.7))
    text = fall_text(fall, "iter_100.pth")
    assert "M_dim 60 at step 100 -> 40" in text and "Compare iter_100.pth with" in text
    assert find_fall([*looks[:-1], replace(looks[-1], loss=5.0)], 0.1) is None
    assert find_fall(looks, 0.4) is None
    assert find_fall(looks[:2], 0.1) is None and find_fall(looks[:1], 0.1) is None
    one = ((0.9, 90.0), *looks[-1].shares[1:])
    assert find_fall([*looks[:-1], replace(looks[-1], shares=one)], 0.1) is None


def test_one_part_cannot_make_up_for_the_other() -> None:
    """At a hundred times the rate all clusters became tight, in few dimensions."""
    looks = course((-0.014, -0.005, 0.004), (80.9, 60.1, 56.1))
    assert scores(looks).argmax() == 0 or find_fall(looks, 0.1) is not None
    assert find_fall(looks, 0.1).part == "M_dim"
    separability = course((0.4, 0.3, 0.2), (50, 60, 70))
    assert find_fall(separability, 0.1).part == "M_inter − M_intra"
    assert find_fall(separability, 0.1).size == pytest.approx(0.2)  # of M_inter, which is 1


def test_against_the_start_the_first_loss_counts() -> None:
    looks = course((0.5, 0.3, 0.2), (60, 50, 40))
    assert find_fall(looks, 0.1).loss == (2.9, 2.8)


def test_a_run_that_hardly_changes_has_no_fall() -> None:
    """λ is large where M_dim is all but constant; each part has to fall by itself."""
    looks = course((0.300, 0.299, 0.298), (50.0, 49.9, 49.8))
    dse = scores(looks)
    assert dse[0] - dse[2] > 0.002 and find_fall(looks, 0.1) is None


def test_a_last_checkpoint_that_has_lost_gives_way_to_the_start() -> None:
    """Where DSE has no say, and only then; never to random weights."""
    shares = [[(0.9, 90.0)] * 4, *([part] * 4 for part in zip(CLASSES[1:], RANKS[1:], strict=True))]
    looks = course(shares=shares, drift=0.2)
    advice = advise(looks, from_random=False)
    assert advice.overruled and advice.place == 0
    assert advice.lost == (
        "its M_dim has fallen from 60 to 45 and its cells have gone 80 % of the way from the "
        "start's to unrelated ones"
    )
    assert "why: it is the untouched one; of the last, its M_dim" in advice_text(
        advice, names(looks), images=8
    )
    assert advise(looks, from_random=True).place == 4
    turned = [looks[1], *(replace(look, shares=((0.9, 90.0),) * 4) for look in looks[2:3])]
    turned += looks[3:]
    turned[0] = replace(looks[1], shares=((2.0, 200.0),) * 4)
    without = advise(turned, from_random=False)  # the start was not measured
    assert without.place == 3 and without.lost
    assert "why: it is the last one, although its M_dim has fallen" in advice_text(
        without, names(looks), images=8
    )
    mild = Limits(fall=0.9, drift=0.9)
    assert advise(looks, from_random=False, limits=mild).place == 4


def test_a_finished_run_is_judged_by_its_own_limits(tmp_path: Path) -> None:
    """Checkpoints that are gone are not advised; start and last can always be had."""
    looks = course()
    write_course(tmp_path, dict(start="timm:x", fall=0.1, drift=0.5), looks)
    assert advise_run(tmp_path).highest == 4  # DSE .677, the start's is .524
    (tmp_path / "iter_200.pth").touch()
    assert advise_run(tmp_path) == advise(looks, from_random=False, kept=(0, 200, 400))
    shares = [[(0.9, 90.0)] * 4, *([part] * 4 for part in zip(CLASSES[1:], RANKS[1:], strict=True))]
    for fall, place in ((0.1, 0), (0.9, 4)):
        facts = dict(start="timm:x", fall=fall, drift=0.9)
        write_course(tmp_path, facts, course(shares=shares))
        assert advise_run(tmp_path).place == place
    write_course(tmp_path, dict(start=RANDOM), looks)
    assert advise_run(tmp_path).place == 4
    assert advise_run(tmp_path / "elsewhere") is None


def test_drift_is_measured_by_how_alike_unrelated_cells_are() -> None:
    assert drift_share(1.0, 0.4) == 0 and drift_share(0.4, 0.4) == pytest.approx(1)
    assert drift_share(0.7, 0.4) == pytest.approx(0.5)
    assert drift_share(1.0, 1.0) == 0  # a start whose cells are all alike
    text = drift_text(replace(course()[3], drift=0.4))
    assert "mean cosine 0.700, 40 % of the way from unchanged to unrelated cells" in text


@pytest.mark.parametrize("limits", [dict(fall=0.0), dict(drift=1.5)])
def test_limits_are_shares(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        Limits(**limits)
