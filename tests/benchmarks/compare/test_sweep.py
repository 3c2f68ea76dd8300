"""Generated arms: names, levels, draws, and every mistake before any work."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Plan
from benchmarks.compare.plan import load_plan
from benchmarks.compare.space import labels, read_space, spell
from benchmarks.compare.sweep import settings_of, spread, value_at

ROOT = Path(__file__).resolve().parents[3]
Toy = Callable[..., Path]
GAMMA, RADIUS = "model.objectives.0.gamma", "model.objectives.0.pos_radius_diag"


def plan_of(toy: Toy, arms: str) -> Plan:
    return load_plan(toy(f"arms = dict({arms})"), "out")


def names(plan: Plan) -> list[str]:
    return [arm.name for arm in plan.arms]


def test_a_grid_has_every_combination_and_stands_beside_arms_by_hand(toy: Toy) -> None:
    grid = f"{{'{GAMMA}': (1.0, 2.5), 'schedule.global_batch': (4, 8)}}"
    plan = plan_of(toy, f"plain=dict(), a=dict(overrides={{'{RADIUS}': 0.5}}, grid={grid})")
    assert names(plan) == [
        "plain",
        "a+gamma=1.0+global_batch=4",
        "a+gamma=1.0+global_batch=8",
        "a+gamma=2.5+global_batch=4",
        "a+gamma=2.5+global_batch=8",
    ]
    last = plan.recipes["a+gamma=2.5+global_batch=8"]
    assert last["model"]["objectives"][0]["gamma"] == 2.5
    assert last["model"]["objectives"][0]["pos_radius_diag"] == 0.5
    settings = settings_of(plan.arms, plan.recipes)
    # The arm by hand has what its recipe says, or the default of the class.
    assert settings["plain"] == {"gamma": "2.0", "global_batch": "8"}
    more = plan_of(toy, f"a=dict(grid={{'{GAMMA}': (1.0, 1.5, 2.5)}})")
    fewer = plan_of(toy, f"a=dict(grid={{'{GAMMA}': (1.0, 2.5)}})")
    assert set(names(fewer)) < set(names(more))


def test_vary_changes_one_key_at_a_time_around_the_arm_as_it_is(toy: Toy) -> None:
    branch = (
        "dict(without={}, pooled={'model.objectives': [dict(type='PixPro', hidden=32, dim=16), "
        "dict(type='BYOL', hidden=32, dim=16)]})"
    )
    vary = f"{{'{GAMMA}': (1.0, 2.0), 'schedule.lr_per_256': (0.1, 0.3), 'branch': {branch}}}"
    plan = plan_of(toy, f"a=dict(vary={vary})")
    assert names(plan) == ["a", "a+gamma=1.0", "a+lr_per_256=0.3", "a+branch=pooled"]
    settings = settings_of(plan.arms, plan.recipes)
    assert settings["a"] == {"gamma": "2.0", "lr_per_256": "0.1", "branch": "without"}
    assert settings["a+branch=pooled"] == {**settings["a"], "branch": "pooled"}
    assert len(plan.recipes["a+branch=pooled"]["model"]["objectives"]) == 2


def test_a_sample_is_even_reproducible_and_keeps_its_arms_when_n_grows(toy: Toy) -> None:
    space = (
        f"{{'schedule.lr_per_256': dict(low=0.01, high=1.0, log=True), '{GAMMA}': (1.0, 2.0), "
        "'schedule.global_batch': dict(low=4, high=7)}"
    )
    arms = "a=dict(sample=dict(space={}, n={}, seed=3))".format
    eight = plan_of(toy, arms(space, 8))
    assert names(eight) == names(plan_of(toy, arms(space, 8)))
    assert names(plan_of(toy, arms(space, 16)))[:8] == names(eight)
    settings = settings_of(eight.arms, eight.recipes).values()
    rates = np.array([float(own["lr_per_256"]) for own in settings])
    # Equally many of eight in each quarter of the range's logarithm, and of each choice.
    quarters = np.floor((np.log10(rates) + 2) * 2).astype(int)
    assert np.bincount(quarters, minlength=4).tolist() == [2, 2, 2, 2]
    assert sorted(own["gamma"] for own in settings) == ["1.0"] * 4 + ["2.0"] * 4
    assert sorted(own["global_batch"] for own in settings) == list("44556677")
    recipes = [trial["schedule"]["lr_per_256"] for trial in eight.recipes.values()]
    assert recipes == rates.tolist()


def test_points_are_stratified() -> None:
    points = spread(3, 16, 0)
    for column in points.T:
        assert sorted(np.floor(column * 16).astype(int)) == list(range(16))
    assert np.array_equal(spread(3, 5, 0), points[:5]) and not np.array_equal(
        spread(3, 16, 1), points
    )


def test_ranges_reach_both_ends_and_no_further() -> None:
    (whole,) = read_space({"k": dict(low=1, high=100, log=True)}, "space")
    (real,) = read_space({"k": dict(low=0.1234567, high=0.2)}, "space")
    assert whole.at(0.0).overrides == {"k": 1}
    assert whole.at(math.nextafter(1, 0)).overrides == {"k": 100}
    assert real.at(0.0).overrides == {"k": 0.1234567} and real.at(0.5).text == "0.162"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-5, "1e-05"),
        ((1, 2), "1-2"),
        (None, "None"),
        ("configs/a b/x_y.py", "x_y"),
        (dict(a=1), "-a-1-"),
        (-0.5, "-0.5"),
    ],
)
def test_values_become_parts_of_folder_names(value: Any, text: str) -> None:
    assert spell(value) == text


def test_labels_are_the_shortest_ends_that_differ() -> None:
    keys = ["model.objectives.0.gamma", "model.momentum.start", "model.other.start", "gamma.x"]
    assert list(labels(keys).values()) == ["gamma", "momentum.start", "other.start", "x"]


def test_values_of_recipes_and_defaults() -> None:
    recipe = dict(model=dict(type="Pretrainer", objectives=[dict(type="PixPro", gamma=3)]))
    assert value_at(recipe, GAMMA) == 3 and value_at(recipe, RADIUS) == 0.7
    assert value_at(recipe, "schedule.lr_rule") == "linear"
    for key in ("model.objectives.4.gamma", "model.nothing.x", "nothing", "model.objectives.0.x"):
        assert value_at(recipe, key) is None


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ("a=dict(grid={}, vary={})", "grid and vary; give one of grid, vary, sample"),
        ("a=dict(grid={})", "arm 'a': grid = {}: a dict of dotted keys"),
        ("a=dict(grid={'schedule.lr_per_256': 3})", "= 3: a list of values"),
        ("a=dict(grid={'schedule.lr_per_256': (1, 1)})", "1 stands there twice"),
        ("a=dict(grid={'schedule.lr_per_256': dict(low=0.1, high=1.0)})", "is a range; list its"),
        ("a=dict(grid={'schedule.lr_per_255': (1.0, 2.0)})", "lr_per_255 is unknown; did you mean"),
        ("a=dict(grid={'x': dict(b=dict(), c=3)})", "choice 'c' = 3: a dict of overrides"),
        ("a=dict(train=False, grid={'seed': (1, 2)})", "an arm that is not trained"),
        ("a=dict(grid={'seed': (1, 2)})", "'seed': the comparison's budget and seeds set this"),
        ("a=dict(sample=3)", "must be dict(space={…}, n=16)"),
        ("a=dict(sample=dict(space={'optimizer.weight_decay': (0.1,)}))", "n = None: how many"),
        ("a=dict(sample=dict(spce={}))", "'spce'; did you mean 'space'?"),
        ("a=dict(sample=dict(space={'x': dict(low=2, high=1)}, n=2))", "two numbers with low <"),
        ("a=dict(sample=dict(space={'x': dict(low=0, high=1, log=True)}, n=2))", "low above 0"),
        (
            "a=dict(sample=dict(space={'optimizer.weight_decay': (0.1, 0.2)}, n=4))",
            "so many points do not fit into its space: lower n, or use grid",
        ),
        ("a=dict(grid={'optimizer.weight_decay': ('x' * 99, 2)})", "becomes a folder's"),
        (
            "**{'a+weight_decay=2': dict(), 'a': dict(grid={'optimizer.weight_decay': (2,)})}",
            "two arms are named 'a+weight_decay=2': rename one",
        ),
    ],
)
def test_mistakes_name_the_arm_and_the_key(toy: Toy, arms: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(toy, arms)
    assert words in str(caught.value)


def test_the_ablation_of_pixpro() -> None:
    plan = load_plan(ROOT / "configs/comparisons/ablation_pixpro.py")
    assert len(plan.arms) == 12 and len(plan.trials) == 36
    assert plan.columns == load_plan(ROOT / "configs/comparisons/scenes.py").columns
    settings = settings_of(plan.arms, plan.recipes)
    assert set(settings["PixPro"]) == {
        "propagation",
        "pos_radius_diag",
        "gamma",
        "layers",
        "momentum",
        "instance_branch",
    }
