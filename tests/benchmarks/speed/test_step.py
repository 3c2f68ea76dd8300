"""The step benchmark on a toy: its table is complete, its shares add up, its parts are the real
ones.
"""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks.speed import step
from benchmarks.speed.step import COLUMNS, Step, StepSettings, example_batch, main, measure, parse

TOY = StepSettings(backbone="test_resnet", size=32, batch=4, hidden=8, warmup=0, repetitions=1)


@pytest.fixture(autouse=True)
def allocator_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting would stay for the whole test process."""
    monkeypatch.setattr(step, "keep_freed_memory", lambda: True)


def test_batch_has_the_papers_photometrics_still_to_apply() -> None:
    views = example_batch(32, 6).views["global"]
    assert views.images.shape == (6, 2, 3, 32, 32) and views.images.dtype == torch.uint8
    sigma = views.photometric.blur_sigma
    assert (sigma[:, 0] > 0).all() and (views.photometric.brightness != 1).any()


@pytest.mark.parametrize("objective", ["PixPro", "SimCLR"])
def test_shares_add_up(objective: str) -> None:
    values = measure(StepSettings(**{**TOY.__dict__, "objective": objective}))
    shares = ("step efficiency", "photometrics", "heads + loss", "optimiser", "EMA", "rest")
    assert sum(values[name] for name in shares) == pytest.approx(1)
    assert all(values[name] > 0 for name in shares[:-1])
    assert values["images/s"] == pytest.approx(1e3 * 4 / values["ms/step"])


def test_a_step_trains_and_targets_follow() -> None:
    one = Step(TOY)
    before = {name: value.clone() for name, value in one.model.named_parameters()}
    parts = one.run()
    assert parts["step"] == pytest.approx(sum(v for name, v in parts.items() if name != "step"))
    after = dict(one.model.named_parameters())
    for name in ("backbone.model.conv1.0.weight", "objectives.0.projector.3.weight"):
        follower = name.replace("backbone.", "target_backbone.").replace(
            "projector", "target_projector"
        )
        assert not torch.equal(after[name], before[name])
        assert not torch.equal(after[follower], before[follower])
    assert all(p.grad is None for p in one.model.parameters())


def test_timing_the_heads_leaves_weights_and_gradients() -> None:
    one = Step(TOY)
    weights = [p.clone() for p in one.model.parameters()]
    assert one.heads() > 0
    assert all(torch.equal(a, b) for a, b in zip(weights, one.model.parameters(), strict=True))
    assert all(p.grad is None for p in one.model.parameters())


def test_command_prints_one_row_per_width(capsys: pytest.CaptureFixture[str]) -> None:
    main("--backbone test_resnet --size 32 --batch 4 --hidden 8 16 --repetitions 1".split())
    lines = capsys.readouterr().out.strip().splitlines()
    assert "test_resnet" in lines[0] and "medians of 1" in lines[0]
    table = [line for line in lines if line.startswith("|")]
    assert [line.count("|") for line in table] == [len(COLUMNS) + 1] * 4
    assert [line.split("|")[1].strip() for line in table[2:]] == ["8", "16"]


def test_options_reach_the_settings() -> None:
    settings, widths = parse(
        "--objective BYOL --precision bf16 --output-stride 8 --no-channels-last".split()
    )
    assert (settings.objective, settings.precision, settings.output_stride) == ("BYOL", "bf16", 8)
    assert not settings.channels_last and widths == [512, 4096]


def test_processor_seconds_do_not_count_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Step(StepSettings(**{**TOY.__dict__, "clock": "cpu"}))
    prepare = one.model.data_preprocessor.forward
    monkeypatch.setattr(
        one.model.data_preprocessor, "forward", lambda *a: (time.sleep(0.5), prepare(*a))[1]
    )
    assert one.run()["photometrics"] < 0.4
    with pytest.raises(SystemExit):
        parse("--clock cpu --device cuda".split())
