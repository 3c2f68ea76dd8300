"""What configs share and where they differ."""

from __future__ import annotations

from benchmarks.compare.fairness import by_value, compare_configs


def test_fairness_lists_equal_and_different_keys() -> None:
    arms = {
        "a": {
            "seed": 0,
            "loader": {"workers": 1},
            "schedule": {"lr": 1.0, "samples": 5},
            "views": {"size": (1, 2)},
        },
        "b": {
            "seed": 1,
            "loader": {"workers": 2},
            "schedule": {"lr": 2.0, "samples": 5},
            "views": {"size": [1, 2]},
        },
        "c": {"schedule": {"lr": 1.0, "samples": 5, "extra": 3}, "views": {"size": (1, 2)}},
    }
    fairness = compare_configs(arms)
    assert fairness.equal == {"schedule.samples": 5, "views.size": [1, 2]}
    assert fairness.different["schedule.lr"] == {"a": 1.0, "b": 2.0, "c": 1.0}
    assert fairness.different["schedule.extra"] == {"a": "(absent)", "b": "(absent)", "c": 3}
    assert fairness.groups() == (["views"], ["schedule"])


def test_arms_are_grouped_by_value_and_what_most_share_comes_last() -> None:
    assert by_value(dict(a=1, b=2, c=1)) == "1 (a, c) · 2 (b)"
    assert by_value(dict(a=1, b=1, c=2, d=2)) == "1 (a, b) · 2 (c, d)"
    assert by_value(dict(a=1, b=1, c=2, d=1, e=3)) == "2 (c) · 3 (e) · else 1"
