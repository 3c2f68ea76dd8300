"""The speed page of feature upsampling on toys: baselines compute the stack, formulas are the known
ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.speed import upsamplers, upsampling_baselines
from benchmarks.speed.peak_memory import available, extra
from benchmarks.speed.roofline import Ceiling, Probe, Work
from benchmarks.speed.upsamplers import COLUMNS, Timer, main, parse, table
from benchmarks.speed.upsampling_rows import Case, Row, Rows, without_compiled
from benchmarks.speed.upsampling_work import FILTER_FLOPS, Level
from heads.upsamplers import eager
from heads.upsamplers.jbu import JBUStack
from heads.upsamplers.operators import adaptive_conv

CPU = torch.device("cpu")
TOY = Case(4, 4, 8)


@pytest.fixture(autouse=True)
def allocator_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting would stay for the whole test process."""
    monkeypatch.setattr(upsamplers, "keep_freed_memory", lambda: True)


@pytest.mark.parametrize("name", ["unfold_level", "tap_level", "two_step_level"])
def test_baselines_compute_the_stack(name: str) -> None:
    torch.manual_seed(0)
    model = JBUStack(3, factor=4).eval()
    with torch.no_grad():
        for level in model.levels:
            level.range_temp.fill_(0.7)
            level.sigma_spatial.fill_(1.3)
    image, features = torch.randn(2, 3, 16, 20), torch.randn(2, 3, 4, 5, requires_grad=True)
    found = upsampling_baselines.stack(getattr(upsampling_baselines, name), model, image, features)
    expected = model.upsample(image, features, (16, 20))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    leaves, gradient = [features, *model.parameters()], torch.randn_like(expected)
    pairs = [torch.autograd.grad(out, leaves, gradient) for out in (found, expected)]
    for mine, other in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_formulas_give_the_known_numbers() -> None:
    """384 channels, 224² pixels, float32, 49 taps: by hand."""
    level, pixels = Level(384, 112), 224**2
    assert FILTER_FLOPS == 2240 + 3136 + 9898
    assert level.fused().flops == pixels * (FILTER_FLOPS + 37632)
    assert level.convolution("unfold").bytes == pytest.approx(7.72e9, rel=1e-3)
    assert level.convolution("operator").bytes == pytest.approx(168e6, rel=2e-3)
    assert level.fused().bytes == pytest.approx(97e6, rel=2e-3)
    assert Level(384, 112, size=2).fused().bytes == pytest.approx(97e6 / 2, rel=2e-3)
    stack = [Level(384, side).fused() for side in (14, 28, 56, 112)]
    assert sum(w.flops for w in stack) == pytest.approx(3.53e9, rel=2e-3)
    assert sum(w.bytes for w in stack) == pytest.approx(129e6, rel=2e-3)
    assert level.mixing(high=True).flops == pytest.approx(14.8e9, rel=1e-3)


def test_least_time_takes_the_longer_of_both_piece_by_piece() -> None:
    assert Ceiling(flops=10.0, bytes=2.0).seconds([Work(20, 2), Work(10, 6)]) == 2 + 3


def test_ceiling_is_measured() -> None:
    ceiling = Probe(CPU, torch.float32, side=64, megabytes=1).measure(tries=1)
    assert 1e6 < ceiling.flops < 1e15 and 1e6 < ceiling.bytes < 1e13


def test_extra_memory_sees_what_is_freed_again() -> None:
    megabytes = 64

    def action() -> float:
        return torch.ones(megabytes * 2**18).sum().item()

    result, peak = extra(action, CPU)
    assert result == megabytes * 2**18
    assert peak != peak or megabytes * 2**20 <= peak + 2**21 < 3 * megabytes * 2**20
    assert available(CPU) > 2**20


def test_fallback_runs_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, fallback = [], eager.adaptive_conv
    monkeypatch.setattr(eager, "adaptive_conv", lambda *a: (calls.append(1), fallback(*a))[1])
    x, w = torch.rand(1, 2, 4, 4), torch.rand(1, 4, 4, 1, 1)
    with without_compiled(CPU):
        inside = adaptive_conv(x, w)
    assert calls == [1]
    torch.testing.assert_close(adaptive_conv(x, w), inside)


def test_rows_of_a_table_share_the_task_and_its_result() -> None:
    rows = Rows(TOY, CPU, torch.float32)
    for made, ours in ((rows.whole(), "learned stack"), (rows.last_level(), "level")):
        same = [row for row in made if row.name.split(",")[0] == ours]
        assert [row.name for row in same[1:]] == [
            f"{ours}, {how}" for how in ("not compiled", "two-step", "tap loop", "unfold + einsum")
        ]
        with torch.no_grad():
            outputs = [row.run() for row in same]
        for row, out in zip(same, outputs, strict=True):
            assert row.least == same[0].least
            torch.testing.assert_close(out, outputs[0], rtol=1e-3, atol=1e-4)
    convolutions = rows.operators()[-3:]
    with torch.no_grad():
        first, *others = (row.run() for row in convolutions)
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-4, atol=1e-4)


def test_row_that_does_not_fit_is_told() -> None:
    row = Row("large", lambda: torch.zeros(1), [], [], [], buffer=31e9)
    assert "| large | skipped, its buffer alone is 31 GB |" in table([], [row])


def test_slow_rows_stop_after_three() -> None:
    leaf = torch.ones(1, requires_grad=True)
    rows = [Row("a", lambda: leaf * 2, [leaf], [Work(1, 1)], [Work(1, 1)])]
    ceilings = Timer(CPU, repetitions=5, budget=0.0).run(
        rows, lambda: Ceiling(1e9, 1e9), lambda name: None
    )
    assert (
        len(rows[0].forward) == len(rows[0].both) == len(rows[0].shares) == 3 and len(ceilings) == 5
    )


def test_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsamplers, "Probe", lambda *a: Probe(*a, side=64, megabytes=1))
    main(["--cases", "4:4:8", "--repetitions", "1", "--out", str(tmp_path / "page.md")])
    text = capsys.readouterr().out
    assert (tmp_path / "page.md").read_text().split() == text.split()
    assert "4 channels, 4² → 8²" in text and "GFLOP/s" in text and "thread(s)" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    names = [line.split("|")[1].strip() for line in lines]
    assert names.count("what") == 3 and {
        "nearest",
        "neighbourhood",
        "level, two-step",
        "jbu_filters",
    } <= set(names)


@pytest.mark.parametrize("text", ["384:14", "a:b:c", "4:4:9", "4:4:4", "0:4:8"])
def test_wrong_case_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--cases", text])
    assert f"case '{text}'" in capsys.readouterr().err


def test_processor_seconds_are_those_of_one_thread_of_the_cpu() -> None:
    assert parse(["--clock", "cpu", "--threads", "4"]).threads == 1
    with pytest.raises(SystemExit):
        parse(["--clock", "cpu", "--device", "cuda"])


def test_quick_is_one_case() -> None:
    options = parse(["--quick"])
    assert options.cases == [Case(384, 14, 224)] and options.repetitions == 3
