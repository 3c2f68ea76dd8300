"""Tests of runs use the toy comparison of the room that runs comparisons."""

from tests.benchmarks.compare.conftest import toy, trainer  # noqa: F401
