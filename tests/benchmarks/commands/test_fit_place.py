"""pixelpretext fit-place: a file that evaluation removes from maps, and mistakes in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.core.place_removal import Planes
from benchmarks.core.record import read_all

NETWORK = "random:test_resnet?output_stride=8"


def data_of(root: Path) -> str:
    return f"plain:{root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"


def test_planes_are_fitted_and_removed(
    run_tool: Callable[..., int],
    toy_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planes, records, data = tmp_path / "planes.pth", tmp_path / "r.jsonl", data_of(toy_root)
    fitting = ("--set", "size=40,48", "rounds=2", "epochs=1", "--device", "cpu")
    assert run_tool("fit_place", NETWORK, "--data", data, "--out", planes, *fitting) == 0
    fitted = Planes.load(planes)
    assert f"{planes}: 4 directions in 2 planes of" in capsys.readouterr().out
    assert fitted.fitted["data"]["train_images"] == 6
    cleaned = f"{NETWORK}&without_place={planes}"
    given = ("--benchmark", "discovery", "--data", data, "--set", "discovery.size=40,48")
    assert run_tool("evaluate", NETWORK, cleaned, *given, "--out", records) == 0
    plain, without = read_all(records)
    assert plain.protocol_hash == without.protocol_hash
    assert without.subject["without_place"]["directions"] == 4


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        (NETWORK, "round=2", "--set: round is unknown; did you mean 'rounds'?"),
        (NETWORK, "rounds=0", "rounds=0 must be greater than 0"),
        (NETWORK + "&without_place=black:2", "size=40,48", "planes are fitted to whole features"),
    ],
)
def test_mistakes_are_one_sentence(
    network: str,
    settings: str,
    message: str,
    run_tool: Callable[..., int],
    toy_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ("--data", data_of(toy_root), "--out", tmp_path / "p.pth", "--set", settings)
    assert run_tool("fit_place", network, *given) == 2
    assert message in capsys.readouterr().err
