"""A comparison's config: every mistake is found before any work, with the name that was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from benchmarks.compare.configs import (
    config_hash,
    differences,
    find_config,
    flatten,
    load_config,
    write_config,
)
from benchmarks.compare.evaluate import check_baseline
from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Baseline, Evaluation
from benchmarks.compare.plan import load_plan
from benchmarks.evaluate.suite import BENCHMARKS
from pretrain.objectives.parts.base import Objective

Toy = Callable[..., Path]
DENSE = "benchmarks['dense'] = dict(type='retrieval', data=dict(root='x', layout='camvid'))"

IMAGES = "benchmarks['images'] = dict(type='knn', data=dict(root='x'))"


def test_expands_arms_and_seeds_into_trials(toy: Toy) -> None:
    plan = load_plan(toy(), "out")
    assert [t.name for t in plan.trials[:3]] == ["untrained/seed_0", "weak/seed_0", "strong/seed_0"]
    assert len(plan.trials) == 6
    trial = plan.trials[-1]
    assert trial.directory == Path("out/strong/seed_1") and trial.config["seed"] == 1
    assert (
        trial.config["schedule"]["lr_per_256"] == 3.0
        and plan.trials[1].config["schedule"]["lr_per_256"] == 0.2
    )
    assert (plan.budget_kind, plan.budget_amount, plan.name) == ("samples", 80, "toy")
    assert load_plan(toy()).work_dir == Path("work_dirs/toy")


def test_common_overrides_reach_every_arm_and_arms_have_the_last_word(toy: Toy) -> None:
    plan = load_plan(toy('overrides = {"schedule.lr_per_256": 7.0, "schedule.global_batch": 4}'))
    rates = {t.arm.name: t.config["schedule"]["lr_per_256"] for t in plan.trials}
    assert rates == {"untrained": 7.0, "weak": 0.2, "strong": 3.0}
    assert {t.config["schedule"]["global_batch"] for t in plan.trials} == {4}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("budgets = 3", "unknown comparison key 'budgets'; did you mean 'budget'?"),
        ("del primary", "missing or empty: primary"),
        ("budget = dict(sampels=3)", "unknown budget 'sampels'; did you mean 'samples'?"),
        ("budget = dict(samples=3, flops=1e9)", "give exactly one of"),
        ("budget = dict(samples=-3)", "samples = -3: must be a number above 0"),
        ("seeds = (0, 0)", "a list of different whole numbers"),
        ("seeds = 3", "a list of different whole numbers"),
        ("arms = dict(a=dict(overides={}))", "'overides'; did you mean 'overrides'?"),
        ("arms = {'a/b': dict()}", "becomes a folder"),
        ("arms = dict(a=dict(train='no'))", "must be True or False"),
        ("arms = dict(a=dict(config='configs/nothing.py'))", "no config 'configs/nothing.py'"),
        (
            "arms = dict(a=dict(overrides={'shedule.lr_per_256': 1}))",
            "no 'shedule'; did you mean 'schedule'?",
        ),
        (
            "arms = dict(a=dict(overrides={'schedule.lr_per_255': 1.0}))",
            "lr_per_255 is unknown; did you mean",
        ),
        ("arms = dict(a=dict(overrides={'model.objectives': [dict(type='PixPr')]}))", "'PixPr'"),
        ("arms = dict(a=dict(overrides={'schedule.samples': 5}))", "budget and seeds set this"),
        (
            "arms = dict(a=dict(overrides={'schedule': dict(epochs=5)}))",
            "'schedule.epochs': the comparison's budget",
        ),
        (
            "overrides = {'seed': 3}",
            "overrides: override 'seed': the comparison's budget and seeds set this",
        ),
        ("overrides = {'work_dir': 'x'}", "every trial has its own folder"),
        ("arms = dict(a=dict(), b=dict())", "arms 'a' and 'b' are the same experiment"),
        (
            "arms = dict(a=dict(train=False), b=dict(train=False))",
            "'a' and 'b' are the same experiment",
        ),
        (
            "primary = 'toys.score'",
            "unknown benchmark in metric 'toys.score': 'toys'; did you mean 'toy'?",
        ),
        ("primary = 'score'", "write BENCHMARK.metric"),
        ("columns = ('tay.score',)", "did you mean 'toy'?"),
        (
            f"{DENSE}; columns = ('dense.miou',)",
            "metric of benchmark 'dense': 'miou'; did you mean 'mIoU'?",
        ),
        (
            f"{DENSE}; benchmarks['dense']['data']['type'] = 'ClassFolder'",
            "it reads a SegmentationFolder",
        ),
        ("benchmarks['toy']['type'] = 'json'", "must end in BENCHMARK = Benchmark("),
        ("benchmarks = dict(toy=dict(type='retreival', data=dict()))", "did you mean 'retrieval'?"),
        ("benchmarks = dict(toy=dict(type='fake_benchmark'))", "needs type='…' and data=dict(…)"),
        ("benchmarks['toy']['facter'] = 2", "facter is unknown; did you mean 'factor'?"),
        ("benchmarks['toy']['data'] = dict(type='ClassFolder')", "lacks root=; add it"),
        ("benchmarks['toy']['data'] = dict(type='ClasFolder')", "it reads a ClassFolder"),
        (
            "benchmarks['toy']['data'] = dict(type='ClassFolder', rot='x')",
            "'rot'; did you mean 'root'?",
        ),
        (
            "prepare = dict(scene=dict(out='x'))",
            "unknown prepare step 'scene'; did you mean 'scenes'?",
        ),
        ("prepare = dict(scenes=dict(out='x', image=4))", "'image'; did you mean 'images'?"),
        ("prepare = dict(scenes=dict(out='x'))", "prepare scenes: missing images"),
        ("pictures = dict(foldr='x')", "'foldr'; did you mean 'folder'?"),
        ("planned = ('a',)", "the names of two arms, such as ("),
        ("planned = ('a', 'a'); arms = dict(a=dict())", "the names of two arms"),
        (
            "arms = dict(weak=dict(), none=dict(train=False)); planned = ('waek', 'none')",
            "unknown arm in planned: 'waek'; did you mean 'weak'?",
        ),
        ("expected_sd = 0", "expected_sd = 0: a number above 0"),
        ("expected_sd = '1'", "expected_sd = '1': a number above 0"),
        ("resources = 2", "resources=2: must be a dict of gpus, cpus, memory_gb, hours"),
        ("resources = dict(gpu=2)", "resources.gpu is unknown; did you mean 'gpus'?"),
        ("resources = dict(gpus='2')", "resources.gpus='2' is"),
        ("resources = dict(cpus=0)", "cpus=0: must be at least 1"),
        ("baselines = dict(x=dict(type='majority', benchmark='tox'))", "did you mean 'toy'?"),
        (
            "baselines = dict(x=dict(type='majority', benchmark='toy'))",
            "'fake_benchmark' has no trivial predictors",
        ),
        ("baselines = dict(x=dict(type='majority'))", "needs benchmark="),
        (
            f"{DENSE}; baselines = dict(x=dict(type='major', benchmark='dense'))",
            "did you mean 'majority'?",
        ),
        (
            f"{DENSE}; baselines = dict(majority=dict(benchmark='dense', strid=8))",
            "'strid'; did you mean 'stride'?",
        ),
        (f"{DENSE}; baselines = dict(majority=dict(benchmark='dense'))", "needs stride="),
        (
            f"{IMAGES}; baselines = dict(pixels=dict(benchmark='images', stride=8))",
            "'stride'; legal: backend",
        ),
    ],
)
def test_mistakes_name_the_key_and_what_was_meant(toy: Toy, extra: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(toy(extra))
    assert words in str(caught.value)


def test_a_baseline_of_several_benchmarks_is_one_row(toy: Toy) -> None:
    two = f"{DENSE}; {IMAGES}; benchmarks['other'] = dict(benchmarks['dense'], neighbours=5)"
    baselines = (
        "dict(majority=dict(benchmark=('dense', 'other'), stride=8), "
        "pixels=dict(benchmark='images'))"
    )
    plan = load_plan(toy(f"{two}; baselines = {baselines}"))
    assert [b.path for b in plan.baselines] == ["majority/dense", "majority/other", "pixels/images"]
    assert [b.type for b in plan.baselines] == ["majority", "majority", "pixels"]
    assert len({b.hash for b in plan.baselines}) == 3
    # a stride has a meaning for one of them
    mixed = "dict(majority=dict(benchmark=('dense', 'images'), stride=8))"
    plan = load_plan(toy(f"{two}; baselines = {mixed}"))
    assert [b.settings for b in plan.baselines] == [dict(stride=8), {}]


def test_a_missing_comparison_names_a_near_one() -> None:
    with pytest.raises(PlanError, match="did you mean 'configs/comparisons/quickstart.py'"):
        find_config("configs/comparisons/quikstart.py", "comparison")


def test_written_configs_read_back_equal(tmp_path: Path) -> None:
    config = {
        "model": {
            "type": "Pretrainer",
            "objectives": [{"type": "PixPro", "weight": 1e-7}],
            "mean": (0.5, 1, None),
        },
        "words": 'it\'s "quoted" ü\n',
        "flag": True,
        "long": list(range(100)),
    }
    write_config(config, tmp_path / "config.py", header="two\nlines")
    assert Config.fromfile(tmp_path / "config.py").to_dict() == config
    with pytest.raises(PlanError, match="'bad' cannot be written"):
        write_config({"bad": {"cls": Path}}, tmp_path / "bad.py")
    with pytest.raises(PlanError, match="'bad' cannot be written"):
        write_config({"bad": float("nan")}, tmp_path / "bad.py")


def test_overrides_replace_lists_and_delete_dicts(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "a = dict(b=dict(c=1, d=2), e=[dict(f=1), dict(f=2)])\n_helper = 3\n"
    )
    load = lambda **change: load_config(tmp_path / "base.py", change, where="arm 'x'")  # noqa: E731
    assert load(**{"a.b.c": 5}) == {"a": {"b": {"c": 5, "d": 2}, "e": [{"f": 1}, {"f": 2}]}}
    assert load(**{"a.e.1.f": 9})["a"]["e"] == [{"f": 1}, {"f": 9}]
    assert load(**{"a.e": [1]})["a"]["e"] == [1]
    assert load(**{"a.b": dict(_delete_=True, z=1)})["a"]["b"] == {"z": 1}
    with pytest.raises(PlanError, match="the config has no 'bb'"):
        load(**{"a.bb.c": 5})


def test_differences_are_named_by_flattened_key_and_tuples_equal_lists() -> None:
    old = flatten({"a": {"b": (1, 2)}, "c": [{"d": 1}], "gone": 1})
    new = flatten({"a": {"b": [1, 2]}, "c": [{"d": 2}], "new": {}})
    assert differences(old, new) == ["c.0.d: 1 → 2", "gone: 1 → (absent)", "new: (absent) → {}"]
    assert config_hash({"x": (1, 2), "y": 0}) == config_hash({"y": 0, "x": [1, 2]})
    assert config_hash({"x": [1, 2], "y": 0}) != config_hash({"x": [2, 1], "y": 0})


@pytest.mark.parametrize("name", ["quickstart", "scenes", "real"])
def test_shipped_comparisons_are_sound(name: str) -> None:
    plan = load_plan(f"configs/comparisons/{name}.py")
    trained = [arm for arm in plan.arms if arm.train]
    assert (
        len(trained) < len(plan.arms) and len(plan.seeds) >= 2 and plan.primary == "retrieval.mIoU"
    )
    recipes = {t.arm.name: {**flatten(t.config), "seed": 0} for t in plan.trials if t.arm.train}
    for recipe in recipes.values():
        # The arms differ in their objective alone; network, views, data and schedule are one.
        changed = differences(recipes[trained[0].name], recipe)
        assert all(line.startswith("model.objectives.") for line in changed), changed
    roots = {value for key, value in recipes[trained[0].name].items() if key.startswith("source.")}
    assert all("/val" not in str(root) for root in roots)


@pytest.mark.parametrize("name", ["real", "clae", "clae_compute"])
def test_the_second_protocol_on_street_scenes_leaves_out_the_drive_that_is_scored(
    name: str,
) -> None:
    plan = load_plan(f"configs/comparisons/{name}.py")
    usual, other = (
        next(b for b in plan.benchmarks if b.name == n) for n in ("retrieval", "other_drives")
    )
    assert (
        other.data == usual.data | dict(train_exclude=("0016E5_*",))
        and other.settings == usual.settings
    )
    measured = {b.benchmark.name for b in plan.baselines if b.type == "majority"}
    assert {"retrieval", "other_drives", "knn"} <= measured
    assert {b.benchmark.name for b in plan.baselines if b.type == "pixels"} >= {"knn"}


@pytest.mark.parametrize("name", ["real", "scenes"])
def test_comparisons_of_fine_tuning_take_the_networks_of_others(name: str) -> None:
    plan, other = (
        load_plan(f"configs/comparisons/transfer_{name}.py"),
        load_plan(f"configs/comparisons/{name}.py"),
    )
    configs = {t.name: (t.config, t.arm.train) for t in other.trials}
    assert {t.name: (t.config, t.arm.train) for t in plan.trials}.items() <= configs.items()
    assert (
        plan.budget_amount == other.budget_amount and len(plan.seeds) == 3 and len(plan.arms) == 3
    )
    assert {b.type for b in plan.benchmarks} == {"transfer"} and not plan.baselines


def test_the_analyses_take_the_networks_of_the_comparison_on_photos() -> None:
    plan, other = (load_plan(f"configs/comparisons/{name}.py") for name in ("why", "real"))
    configs = {t.name: (t.config, t.arm.train) for t in plan.trials}
    assert {t.name: (t.config, t.arm.train) for t in other.trials}.items() <= configs.items()
    assert {arm.name for arm in plan.arms} - {arm.name for arm in other.arms} == {"SupCon", "CIM"}
    assert plan.budget_amount == other.budget_amount and plan.seeds == other.seeds


def test_the_analyses_of_one_network_share_their_fine_tunings() -> None:
    """Whole images, barrier and criticality train the same classifiers."""
    plan = load_plan("configs/comparisons/why.py")
    named = {benchmark.name: benchmark for benchmark in plan.benchmarks}
    whole, *others = (named[name] for name in ("whole", "barrier", "criticality"))
    settings = BENCHMARKS[whole.type].settings(**whole.settings)
    assert settings.block == settings.size  # one block: nothing is shuffled
    tuning = settings.finetuning(0)
    shown = {"model.inputs": dict(type="BlockShuffle", block=settings.block)}
    for other in others:
        own = BENCHMARKS[other.type].settings(**other.settings)
        assert other.data == whole.data
        assert own.finetuning(0) == replace(tuning, options=dict(tuning.options) | shown)
        for key in ("checkpoints", "curve_images"):
            assert getattr(own, key) == getattr(settings, key), key


def test_the_comparison_of_objectives_holds_all_that_are_published_under_one_schedule() -> None:
    plan = load_plan("configs/comparisons/objectives.py")
    configs = {t.arm.name: t.config for t in plan.trials if t.arm.train}
    published = Path("docs/results/objectives.md").read_text(encoding="utf-8")
    arms = re.findall(r"^\| \d[\d–]* \| (\S.*?) \|", published, re.MULTILINE)
    assert arms and set(arms) <= {arm.name for arm in plan.arms}
    assert len(plan.seeds) == 3
    for key in ("schedule", "optimizer", "engine"):
        assert len({str(config[key]) for config in configs.values()}) == 1, key


def test_every_objective_is_compared_from_scratch_or_from_a_published_backbone() -> None:
    compared = set()
    for name in ("objectives", "post_train"):
        for trial in load_plan(f"configs/comparisons/{name}.py").trials:
            compared |= {part["type"] for part in trial.config["model"]["objectives"]}
    objectives = {
        name
        for name, kind in MODELS.module_dict.items()
        if issubclass(kind, Objective) and kind.__module__.startswith("pretrain.objectives.")
    }
    assert objectives - compared == {"WithDSE"}


@pytest.mark.parametrize(
    "name",
    [
        "boxes",
        "families",
        "random_labels",
        "random_label_transfer",
        "supcon",
        "clae",
        "clae_compute",
    ],
)
def test_comparisons_of_one_question_have_their_arms(name: str) -> None:
    """Their arms differ in more than the objective, on purpose; schedules are one."""
    plan = load_plan(f"configs/comparisons/{name}.py")
    trained = [t.config for t in plan.trials if t.arm.train]
    assert len({t.arm.name for t in plan.trials if t.arm.train}) >= 2 and len(plan.seeds) == 3
    assert len({str(config["schedule"]) for config in trained}) == 1


@pytest.mark.parametrize("kind", [name for name, known in BENCHMARKS.items() if known.baselines])
def test_every_benchmark_with_trivial_predictors_may_have_rows_of_them(kind: str) -> None:
    """By the declaration alone: nothing in a comparison knows a benchmark by name."""
    needs = dict.fromkeys(BENCHMARKS[kind].baseline_needs, 8)
    for name in BENCHMARKS[kind].baselines:
        check_baseline(Baseline(name, name, Evaluation("b", kind, {}, {}), needs))
