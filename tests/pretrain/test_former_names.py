"""Former names of modules that have moved."""

from __future__ import annotations

import importlib
import sys

import pytest

import benchmarks  # noqa: F401 - forwards its names
import pretrain  # noqa: F401 - forwards its names
from pretrain.former_names import FormerNames

NAMES = {}
for finder in sys.meta_path:
    if isinstance(finder, FormerNames):
        NAMES |= finder.moved


@pytest.mark.parametrize("former", sorted(NAMES))
def test_a_former_name_is_the_present_module(former: str) -> None:
    sys.modules.pop(former, None)
    with pytest.warns(
        FutureWarning, match=f"{former} is now {NAMES[former]}; the next release drops"
    ):
        module = importlib.import_module(former)
    assert (
        module is importlib.import_module(NAMES[former]) and module.__spec__.name == NAMES[former]
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_module_below_a_moved_package_is_not_loaded_twice() -> None:
    sys.modules.pop("benchmarks.probe.segmentation", None)
    module = importlib.import_module("benchmarks.probe.segmentation")
    assert module is importlib.import_module("benchmarks.frozen.probe.segmentation")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_from_imports() -> None:
    from benchmarks.evaluation_hook import EvaluationHook

    from benchmarks import knn
    from benchmarks.frozen import knn as present

    assert knn is present and EvaluationHook.__module__ == "benchmarks.evaluate.hook"


def test_what_never_was_is_no_module() -> None:
    with pytest.raises(ModuleNotFoundError, match="benchmarks.never"):
        importlib.import_module("benchmarks.never")
