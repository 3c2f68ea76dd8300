"""What the doctor says about mmcv, mmsegmentation and mmdet."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.mm import mmcv_wheel
from benchmarks.mm.mmcv_wheel import Installed
from benchmarks.speed.doctor import machine, parts, report

OPERATORS = Path("_ext.so")


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict:
    """A machine with torch 2.14, whose packages, mmcv and GPUs a test sets."""
    found = dict(
        packages={
            "mmsegmentation": "1.2.2",
            "mmdet": "3.3.0",
            "ftfy": "6",
            "regex": "1",
            "pycocotools": "2",
        },
        mmcv=Installed("2.1.0+torch2.14.cpu", "torch2.14.cpu", OPERATORS, True),
        gpus=[],
    )
    monkeypatch.setattr(parts, "version", lambda name: found["packages"].get(name))
    monkeypatch.setattr(mmcv_wheel, "installed", lambda: found["mmcv"])
    monkeypatch.setattr(mmcv_wheel, "build_tag", lambda *_: "torch2.14.cpu")
    monkeypatch.setattr(mmcv_wheel.metadata, "version", lambda name: "2.14.1")
    monkeypatch.setattr(machine, "accelerators", lambda: found["gpus"])
    return found


def test_complete_layer(state: dict) -> None:
    found = parts.transfer()
    assert [part.name for part in found] == [
        "mmcv operators",
        "mmsegmentation",
        "mmdet",
        "pycocotools",
    ]
    assert all(part.there and not part.advice for part in found)
    assert found[0].detail == "2.1.0+torch2.14.cpu, CPU operators"


@pytest.mark.parametrize(
    ("mmcv", "detail", "advice"),
    [
        (None, "mmcv is not installed", "bash tools/setup.sh transfer"),
        (
            Installed("2.1.0+torch2.9.cpu", "torch2.9.cpu", OPERATORS, True),
            "torch2.9.cpu, the installed torch is 2.14.1",
            "bash tools/setup.sh transfer",
        ),
        (Installed("", "", None, False), "was interrupted", "bash tools/setup.sh transfer"),
        (
            Installed("2.1.0", "", None, True),
            "without compiled",
            "pip uninstall mmcv mmcv-lite, then bash tools/setup.sh",
        ),
    ],
)
def test_mmcv_that_does_not_serve(
    state: dict, mmcv: Installed | None, detail: str, advice: str
) -> None:
    state["mmcv"] = mmcv
    part = parts.transfer()[0]
    assert not part.there and detail in part.detail and part.advice.startswith(advice)


def test_mmcv_from_elsewhere(state: dict) -> None:
    state["mmcv"] = Installed("2.2.0", "", OPERATORS, True)
    part = parts.transfer()[0]
    assert part.there and part.detail == "2.2.0, not compiled by this project"


def test_gpu_wants_cuda_operators_of_its_kind(state: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    state["gpus"] = [{"capability": "9.0"}, {"capability": "8.0"}]
    monkeypatch.setattr(mmcv_wheel, "architectures", lambda: ())
    part = parts.transfer()[1]
    assert (
        part.name == "mmcv CUDA operators"
        and not part.there
        and part.advice.startswith("install nvcc (CUDA ")
    )
    monkeypatch.setattr(mmcv_wheel, "architectures", lambda: ("8.0", "9.0"))
    assert parts.transfer()[1].advice == "bash tools/setup.sh transfer"
    state["mmcv"] = Installed("2.1.0+torch2.14.cuda80.90", "torch2.14.cuda80.90", OPERATORS, True)
    assert parts.transfer()[1].there and parts.transfer()[0].detail.endswith("CUDA 80 90 operators")


def test_what_is_missing_is_named_and_one_sentence_cures_all(state: dict) -> None:
    state.update(mmcv=None, packages={"mmsegmentation": "1.2.2", "mmdet": "3.3.0", "regex": "1"})
    found = parts.transfer()
    assert [(p.name, p.detail) for p in found if not p.there] == [
        ("mmcv operators", "mmcv is not installed"),
        ("mmsegmentation", "ftfy not installed"),
        ("pycocotools", "pycocotools not installed"),
    ]
    assert report.part_advice(found) == [
        "mmcv operators, mmsegmentation, pycocotools: bash tools/setup.sh transfer"
    ]


def test_nothing_is_imported() -> None:
    before = {name.split(".")[0] for name in sys.modules}
    parts.transfer()
    assert not ({name.split(".")[0] for name in sys.modules} - before) & {"mmcv", "mmdet", "mmseg"}
