"""Configs as plain dicts: what is read, written, told apart, and what a recipe counts for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.compare.configs import (
    config_hash,
    differences,
    flatten,
    inherited,
    load_config,
    relevant,
    without_helpers,
    write_config,
)
from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Evaluation

RECIPE = """
_side = 32
model = dict(type="Toy", sizes=(_side, 64), parts=[dict(width=1), dict(width=2)])
loader = dict(workers=2)
schedule = dict(epochs=3)
"""


def test_a_recipe_counts_with_all_that_it_inherits(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("a = 1\n")
    (tmp_path / "recipe.py").write_text('_base_ = ["mmdet::_base_/x.py", "base.py"]\n')
    assert [path.name for path in inherited(tmp_path / "recipe.py")] == ["recipe.py", "base.py"]
    benchmark = Evaluation("b", "transfer", {}, {"recipe": str(tmp_path / "recipe.py")})
    before = benchmark.hash
    assert before == benchmark.hash
    (tmp_path / "base.py").write_text("a = 2\n")
    assert benchmark.hash != before


def test_bases_of_bases_count_and_one_base_needs_no_list(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/root.py").write_text("a = 1\n")
    (tmp_path / "base.py").write_text('_base_ = "folder/root.py"\nb = 2\n')
    (tmp_path / "recipe.py").write_text('_base_ = "base.py"\n')
    names = [path.name for path in inherited(tmp_path / "recipe.py")]
    assert names == ["recipe.py", "base.py", "root.py"]


def test_overrides_apply_in_order_and_helpers_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    config = load_config(
        path, {"model.parts.1.width": 5, "loader.workers": 4}, {"loader.workers": 0}, where="arm"
    )
    assert "_side" not in config and config["model"]["sizes"] == (32, 64)
    assert config["model"]["parts"] == [{"width": 1}, {"width": 5}]
    assert config["loader"] == {"workers": 0}
    assert all(type(value) is dict for value in config.values())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("modle.type", "the config has no 'modle'; did you mean 'model'"),
        ("model.parts.2.width", "the config has no '2'"),
        ("model.part.width", "did you mean 'parts'"),
    ],
)
def test_an_override_of_nothing_is_an_error(tmp_path: Path, key: str, words: str) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    with pytest.raises(PlanError, match="arm 'a': override") as caught:
        load_config(path, {key: 1}, where="arm 'a'")
    assert words in str(caught.value)


def test_only_names_with_an_underscore_are_helpers() -> None:
    assert without_helpers({"_a": 1, "b": {"_c": 2}}) == {"b": {"_c": 2}}


def test_a_value_without_a_literal_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    write_config({"a": {"b": (1, -2.5e-3, None, "ü", True)}, "c": {1, 2}}, path, header="x\ny")
    values: dict = {}
    exec(path.read_text(), values)
    assert values["a"] == {"b": (1, -2.5e-3, None, "ü", True)} and values["c"] == {1, 2}
    assert path.read_text().startswith("# x\n# y\n")
    for value in (float("nan"), float("inf"), Path, object()):
        with pytest.raises(PlanError, match="config key 'k' cannot be written as text"):
            write_config({"k": [value]}, path)
    assert "# x" in path.read_text()


def test_leaves_are_plain_values_and_what_is_empty() -> None:
    config = {"a": {"b": 1, "c": {}}, "d": [{"e": 2}, {"e": []}], "f": (1, 2)}
    assert flatten(config) == {"a.b": 1, "a.c": {}, "d.0.e": 2, "d.1.e": [], "f": [1, 2]}


def test_what_changes_no_result_is_not_relevant() -> None:
    config = {
        "work_dir": "x",
        "vis_backends": [{"type": "a"}],
        "loader": {"workers": 3, "prefetch": 2},
        "engine": {"log_every": 1, "log_every_epoch": 5},
    }
    assert relevant(config) == {"loader.prefetch": 2, "engine.log_every_epoch": 5}


def test_differences_are_by_value_and_name_what_is_absent() -> None:
    assert differences({"a": (1,), "b": 2, "c": 3}, {"a": [1], "b": 4, "d": 5}) == [
        "b: 2 → 4",
        "c: 3 → (absent)",
        "d: (absent) → 5",
    ]
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1}) != config_hash({"a": 1})


def test_modules_that_an_override_names_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "recipe.py").write_text(RECIPE)
    (tmp_path / "imported_by_an_override.py").write_text("import os; os.environ['SEEN'] = 'yes'")
    monkeypatch.setenv("SEEN", "no")
    named = {"custom_imports": {"imports": ["imported_by_an_override"]}}
    config = load_config(tmp_path / "recipe.py", named, where="arm 'a'")
    assert config["custom_imports"] == named["custom_imports"] and os.environ["SEEN"] == "yes"
    with pytest.raises(PlanError, match="arm 'a': custom_imports: .*no_such_module"):
        wrong = {"custom_imports": {"imports": ["no_such_module"]}}
        load_config(tmp_path / "recipe.py", wrong, where="arm 'a'")
