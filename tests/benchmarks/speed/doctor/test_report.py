"""What the doctor collects and how it shows it: healthy, with a broken core, without rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.speed.doctor import machine, measure, parts, report, requirements
from benchmarks.speed.doctor.parts import Part

GPU = dict(name="Example 100", memory_gib=79.2, capability="9.0", bf16=True)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., report.Findings]:
    """Returns ``look(**changes)``: collects on a machine whose parts a test sets."""

    def collect(
        *,
        core: tuple[Part, ...] = (Part("torch", True, "2.14.1"),),
        optional: tuple[Part, ...] = (),
        gpus: tuple[dict, ...] = (),
        rate: float | Exception = 1000.0,
        measure_too: bool = False,
    ) -> report.Findings:
        def decode_rate() -> float:
            if isinstance(rate, Exception):
                raise rate
            return rate

        monkeypatch.setattr(parts, "core", lambda: [*core])
        monkeypatch.setattr(parts, "optional", lambda: [*optional])
        monkeypatch.setattr(machine, "accelerators", lambda: [*gpus])
        monkeypatch.setattr(machine, "silent_gpu", lambda: False)
        monkeypatch.setattr(measure, "decode_rate", decode_rate)
        monkeypatch.setattr(measure, "bf16_speed_up", lambda: 1.9)
        monkeypatch.setattr(requirements, "unmet", lambda pins: [])
        return report.collect(measure=measure_too)

    return collect


def test_a_healthy_machine(look: Callable[..., report.Findings]) -> None:
    findings = look(gpus=(GPU,), measure_too=True)
    assert findings["broken"] == [] and findings["accelerators"] == [GPU]
    assert findings["measured"] == dict(decode_images_per_s=1000, bf16_speed_up=1.9)
    workers, precision, *_ = findings["advice"]
    assert workers.startswith("loader.workers = ") and "'bf16' is worth trying" in precision
    assert json.loads(json.dumps(findings)) == findings  # for programs


def test_without_measuring_nothing_is_said_about_bf16(
    look: Callable[..., report.Findings],
) -> None:
    findings = look()
    assert [*findings["measured"]] == ["decode_images_per_s"]
    assert not any("bf16" in sentence for sentence in findings["advice"])


def test_a_core_without_torch_is_looked_at_no_further(
    look: Callable[..., report.Findings],
) -> None:
    broken = Part("torch", False, "not installed", advice="install it")
    findings = look(core=(broken, Part("timm", True, "1")), gpus=(GPU,))
    assert findings["broken"] == ["torch"] and findings["advice"] == ["torch: install it"]
    assert findings["accelerators"] == findings["optional"] == [] and findings["measured"] == {}


def test_another_broken_package_leaves_the_measurements_out(
    look: Callable[..., report.Findings],
) -> None:
    findings = look(core=(Part("torch", True, "2"), Part("cv2", False, "no libGL")), gpus=(GPU,))
    assert findings["broken"] == ["cv2"] and findings["measured"] == {}
    assert findings["accelerators"] == [GPU]


def test_decoding_that_fails_is_reported(look: Callable[..., report.Findings]) -> None:
    findings = look(rate=RuntimeError("no JPEG"), measure_too=True)
    assert findings["advice"][0] == "decoding a generated JPEG failed: RuntimeError: no JPEG"
    assert findings["measured"] == {}


def test_parts_with_one_cure_share_a_sentence() -> None:
    missing = [Part(name, False, "", advice="pip install both") for name in ("a", "b")]
    there = Part("c", True, "1.0", advice="")
    hopeless = Part("d", False, "cannot be had")
    assert report.part_advice([*missing, there, hopeless]) == ["a, b: pip install both"]


def test_the_table_has_a_row_for_everything(
    look: Callable[..., report.Findings], capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Part("wandb", False, "not installed", "vis_backends = [dict(…)]", "pip install wandb")
    broken = Part("timm", False, "OSError: [x]", advice="reinstall it")
    findings = look(core=(Part("torch", True, "2.14.1"), broken), optional=(missing,), gpus=(GPU,))
    report.show(findings)
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("Example 100, 79.2 GiB", "BROKEN", "OSError: [x]", "pip install wandb"):
        assert words in printed
    assert printed.endswith("The core is broken: timm.")


def test_without_rich_the_same_is_told_in_plain_lines(
    look: Callable[..., report.Findings],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    findings = look(optional=(Part("faiss", False, "not installed", "speed", "pip install it"),))
    monkeypatch.setitem(sys.modules, "rich.console", None)
    report.show(findings)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["torch", "ok"] for line in lines)
    assert any(line.split()[:2] == ["faiss", "missing"] for line in lines)
    assert "faiss: pip install it" in lines


def test_pins_are_the_checkouts_or_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(pin.name == "torch" for pin in report.pins())
    monkeypatch.setattr(report, "checkout", lambda: tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "core.txt").write_text("alpha==1\n")
    assert [str(pin) for pin in report.pins()] == ["alpha==1"]
    monkeypatch.setattr(report, "checkout", lambda: None)
    required = ["beta==2", "gamma==3; extra == 'transfer'", "delta==4; python_version < '3'"]
    monkeypatch.setattr(requirements.metadata, "requires", lambda name: required)
    assert [str(pin) for pin in report.pins()] == ["beta==2"]
    monkeypatch.setattr(requirements.metadata, "requires", lambda name: None)
    assert report.pins() == []
