"""What the page of upsampling times: one task per table, buffers that are announced, gradients."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed.upsampling_rows import OURS, Case, Row, Rows
from benchmarks.speed.upsampling_work import TAPS

CPU = torch.device("cpu")
TOY = Case(4, 4, 8)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows(TOY, CPU, torch.float32)


def by_name(table: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in table}


def test_a_case_is_read_and_shown() -> None:
    case = Case.parse("384:14:224")
    assert case == Case(384, 14, 224) and str(case) == "384 channels, 14² → 224²"


def test_the_stack_grows_to_the_output_level_by_level() -> None:
    rows = Rows(Case(2, 3, 12), CPU, torch.float16)
    assert [level.side for level in rows.levels] == [3, 6]
    assert all(level.size == 2 and level.channels == 2 for level in rows.levels)
    assert rows.last.side * rows.last.factor == 12
    assert rows.features.dtype == torch.float16 and rows.image.dtype == torch.float32


def test_every_row_gives_the_asked_size_and_gradients(rows: Rows) -> None:
    for row in rows.whole():
        output = row.run()
        assert output.shape == (1, 4, 8, 8), row.name
        gradients = torch.autograd.grad(output.sum(), row.leaves, allow_unused=True)
        assert any(gradient is not None for gradient in gradients), row.name
        assert torch.isfinite(output).all(), row.name


def test_only_unfolding_announces_a_buffer(rows: Rows) -> None:
    """All windows of the enlarged features at once: C · 49 · N numbers of four bytes."""
    buffer = 4 * 4 * TAPS * 64
    for table in (rows.whole(), rows.last_level(), rows.operators()):
        for name, row in by_name(table).items():
            assert row.buffer == (buffer if "unfold" in name else 0), name


def test_others_do_more_work_on_the_same_task(rows: Rows) -> None:
    for table, ours in ((rows.whole(), OURS), (rows.last_level(), "level")):
        own = by_name(table)
        assert own[ours].work == own[ours].least
        for how in ("not compiled", "two-step", "tap loop", "unfold + einsum"):
            row = own[f"{ours}, {how}"]
            assert row.least == own[ours].least
            assert sum(work.bytes for work in row.work) > sum(w.bytes for w in row.least)


def test_uncompiled_rows_run_in_their_own_surroundings(rows: Rows) -> None:
    own = by_name(rows.operators())
    for name in ("adaptive_conv on the grid", "jbu_filters"):
        compiled, plain = own[name], own[f"{name}, not compiled"]
        with torch.no_grad():
            expected = compiled.run()
            with plain.around():
                result = plain.run()
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
        assert compiled.around is not plain.around


def test_baselines_need_no_stack_for_simple_upsamplers(rows: Rows) -> None:
    own = by_name(rows.whole())
    simple = ["nearest", "bilinear", "bicubic", "guided filter", "joint bilateral", "neighbourhood"]
    assert list(own)[:6] == simple
    assert all(own[name].work == own[name].least for name in simple)
    nearest = own["nearest"].run()
    assert torch.equal(nearest[..., ::2, ::2], rows.features)
