"""What a recipe that a benchmark names counts for."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compare.configs import inherited
from benchmarks.compare.parts import Benchmark


def test_a_recipe_counts_with_all_that_it_inherits(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("a = 1\n")
    (tmp_path / "recipe.py").write_text('_base_ = ["mmdet::_base_/x.py", "base.py"]\n')
    assert [path.name for path in inherited(tmp_path / "recipe.py")] == ["recipe.py", "base.py"]
    benchmark = Benchmark("b", "transfer", {}, {"recipe": str(tmp_path / "recipe.py")})
    before = benchmark.hash
    assert before == benchmark.hash
    (tmp_path / "base.py").write_text("a = 2\n")
    assert benchmark.hash != before
