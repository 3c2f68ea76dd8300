"""A real SLURM of two nodes, for the tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.compare.executors.daemons import Unavailable
from tests.benchmarks.compare.executors.slurm_cluster import Cluster


@pytest.fixture(scope="session")
def started_cluster() -> Iterator[Cluster]:
    """The cluster itself; tests take :func:`cluster`."""
    pytest.importorskip("submitit", reason="needs submitit: pip install submitit")
    # A short path, because a socket lies in it.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        try:
            with Cluster(Path(folder)) as cluster:
                yield cluster
        except Unavailable as error:
            pytest.skip(str(error))


@pytest.fixture
def cluster(
    started_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster whose clients are on the path; what a test leaves in the queue is cancelled."""
    for name, value in started_cluster.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield started_cluster
    started_cluster.run("scancel", "--user=root")
