"""The speed page of feature upsampling on toys: baselines compute the stack, formulas are the known
ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.speed import measuring, upsamplers, upsampling_baselines
from benchmarks.speed.peak_memory import available, extra
from benchmarks.speed.roofline import Ceiling, Probe, Work
from benchmarks.speed.upsamplers import COLUMNS, COMMAND, Options, Timer, read_options, table
from benchmarks.speed.upsampling_rows import Case, Row, Rows, without_compiled
from benchmarks.speed.upsampling_work import FILTER_FLOPS, Level, other
from heads.upsamplers import eager
from heads.upsamplers.jbu import JBUStack
from heads.upsamplers.operators import adaptive_conv
from pretrain.command_line import execute

CPU = torch.device("cpu")
TOY = Case(4, 4, 8)


@pytest.fixture(autouse=True)
def allocator_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting would stay for the whole test process."""
    monkeypatch.setattr(measuring, "keep_freed_memory", lambda: True)


@pytest.mark.parametrize("name", ["unfold_level", "tap_level", "two_step_level"])
def test_baselines_compute_the_stack(name: str) -> None:
    torch.manual_seed(0)
    model = JBUStack(3, factor=4).eval()
    with torch.no_grad():
        for level in model.levels:
            level.range_temp.fill_(0.7)
            level.sigma_spatial.fill_(1.3)
    image, features = torch.randn(2, 3, 16, 20), torch.randn(2, 3, 4, 5, requires_grad=True)
    level = getattr(upsampling_baselines, name)
    result = upsampling_baselines.stack(level, model, image=image, features=features)
    expected = model.upsample(image, features, (16, 20))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    leaves, gradient = [features, *model.parameters()], torch.randn_like(expected)
    pairs = [torch.autograd.grad(out, leaves, gradient) for out in (result, expected)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


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
    for table_rows, ours in ((rows.whole(), "learned stack"), (rows.last_level(), "level")):
        same = [row for row in table_rows if row.name.split(",")[0] == ours]
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
    for result in others:
        torch.testing.assert_close(result, first, rtol=1e-4, atol=1e-4)


def test_a_row_that_does_not_fit_is_named() -> None:
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
    options = ["--cases", "4:4:8", "--repetitions", "1", "--out", str(tmp_path / "page.md")]
    assert execute(COMMAND, "upsamplers", options) == 0
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
def test_a_wrong_case_is_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(COMMAND, "upsamplers", ["--cases", text]) == 2
    assert f"upsamplers: case '{text}'" in capsys.readouterr().err


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="say nothing about --device cuda"):
        Options([TOY], clock="cpu", device="cuda")
    with pytest.raises(ValueError, match="--repetitions 0: at least 1"):
        Options([TOY], repetitions=0)


def test_quick_is_one_case() -> None:
    options = read_options(cases=["384:14:224", "768:32:512"], quick=True)
    assert options.cases == [Case(384, 14, 224)] and options.repetitions == 3


def test_cells_are_medians_and_ratios_to_the_first_row_of_the_task() -> None:
    task = [Work(1e9, 2e6)]
    first = Row("ours", lambda: torch.zeros(1), [], task, task)
    second = Row("theirs", lambda: torch.zeros(1), [], [Work(2e9, 3e6), Work(0, 1e6)], task)
    for row, factor in ((first, 1.0), (second, 4.0)):
        row.forward += [0.001 * factor, 0.003 * factor, 0.002 * factor]
        row.both += [0.01 * factor]
        row.shares += [0.5 / factor]
        row.memory |= {"forward": 5e6 * factor, "both": -1.0}
    lines = [line.strip("| ").split(" | ") for line in table([first, second], []).splitlines()[2:]]
    assert lines == [
        ["ours", "2", "", "10", "", "2", "1", "50 %", "5", "0", "3, 1"],
        ["theirs", "8", "4", "40", "4", "4", "2", "12.5 %", "20", "0", "3, 1"],
    ]


def test_work_of_others_by_hand() -> None:
    """4 channels, 2² cells, 8² = 64 pixels: 16 numbers in, a colour image's 192 and 256 out."""
    numbers = 4 * 4 + 3 * 64 + 4 * 64
    assert other("nearest", 4, side=2, output=8) == Work(0, 4 * numbers)
    assert other("bilinear", 4, side=2, output=8, size=2) == Work(2 * 4 * 256, 2 * numbers)
    assert other("bicubic", 4, side=2, output=8).flops == 2 * 16 * 256
    bilateral = other("joint bilateral", 4, side=2, output=8)
    assert bilateral == Work(2 * 25 * 256, 4 * (numbers + 2 * 25 * 64))


def test_rows_left_out_by_name_and_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsamplers, "Probe", lambda *a: Probe(*a, side=64, megabytes=1))
    monkeypatch.setattr(upsamplers, "available", lambda device: 1000.0)
    options = Options([TOY], tables=["operators"], without=["tap", "jbu"], repetitions=1)
    ticks: list[str] = []
    heading, page = upsamplers.pages(TOY, options, ticks.append)
    assert heading == "### 4 channels, 4² → 8²" and page.startswith("Operators alone; ceiling ")
    names = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")][2:]
    assert not any("tap" in name or "jbu" in name for name in names)
    assert "| unfold + einsum on enlarged features | skipped, its buffer alone is" in page
    assert f"{TOY}: operators: adaptive_conv on the grid" in ticks


def test_free_memory_is_unlimited_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.speed.peak_memory.memory_gib", dict)
    assert available(CPU) == float("inf")
    monkeypatch.setattr("benchmarks.speed.peak_memory._RESET", Path("/nowhere/at/all"))
    result, peak = extra(lambda: 3, CPU)
    assert result == 3 and peak != peak
