"""Letters: two arms share one exactly if they are not apart."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.report.statistics.letters import tie_letters


def test_the_vector() -> None:
    apart = [(x, y) for x, y in itertools.combinations("bacd", 2) if (x, y) != ("b", "a")]
    assert tie_letters("bacd", apart) == dict(b="A", a="A", c="B", d="C")


def test_a_chain_overlaps() -> None:
    assert tie_letters("xyz", [("x", "z")]) == dict(x="A", y="AB", z="B")
    assert tie_letters("xyz", []) == dict(x="A", y="A", z="A")


def test_any_relation_is_told_exactly_and_by_no_letter_too_many() -> None:
    """Also relations that no line of intervals gives, as paired tests can."""
    random = np.random.default_rng(0)
    for arms in (2, 5, 9, 15):
        order = [f"arm {number}" for number in range(arms)]
        every = list(itertools.combinations(order, 2))
        apart = [pair for pair in every if random.random() < 0.4]
        letters = {arm: set(text) for arm, text in tie_letters(order, apart).items()}
        for pair in every:
            assert bool(letters[pair[0]] & letters[pair[1]]) == (pair not in apart)
        groups = {}
        for letter in set().union(*letters.values()):
            groups[letter] = {arm for arm in order if letter in letters[arm]}
        for one, other in itertools.permutations(groups.values(), 2):
            assert not one <= other


def test_more_groups_than_the_alphabet_has_letters() -> None:
    order = [str(number) for number in range(60)]
    letters = tie_letters(order, list(itertools.combinations(order, 2)))
    assert len(set(letters.values())) == 60 and all(len(text) == 1 for text in letters.values())
