"""The step benchmark on a toy: its table is complete, its shares add up, its parts are the real
ones.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest
import torch

from benchmarks.speed import measuring, step
from benchmarks.speed.step import (
    COLUMNS,
    COMMAND,
    SHARES,
    Step,
    StepSettings,
    example_batch,
    measure,
    table_row,
)
from pretrain.command_line import execute

TOY = StepSettings(backbone="test_resnet", size=32, batch=4, hidden=8, warmup=0, repetitions=1)
VIT = replace(TOY, backbone="test_vit", prototypes=8, optimizer="AdamW")


@pytest.fixture(autouse=True)
def allocator_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting would stay for the whole test process."""
    monkeypatch.setattr(measuring, "keep_freed_memory", lambda: True)


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


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        (dict(objective="IBOT++"), {"masked global": 2, "target global": 2}),
        (
            dict(objective="DINO", local=3),
            {"online global": 2, "online local": 3, "target global": 2},
        ),
    ],
)
def test_steps_with_hidden_cells_and_with_local_views(
    options: dict, passes: dict[str, int]
) -> None:
    settings = replace(VIT, **options)
    values = measure(settings)
    assert sum(values[name] for name in (*SHARES, "rest")) == pytest.approx(1)
    assert 0 < values["heads + loss"] < 1 and values["step efficiency"] > 0
    timed = Counter(name.partition("[")[0] for name in Step(settings).bare().measure())
    assert timed == passes


def test_local_views_are_smaller_in_size_and_region() -> None:
    assert [StepSettings(size=size).side for size in (224, 96, 32)] == [96, 48, 16]
    batch = example_batch(64, 6, local=3, local_size=32)
    assert batch.views["local"].images.shape == (6, 3, 3, 32, 32)
    areas = batch.views["local"].geometry[..., :2].det().abs()
    assert batch.views["global"].images.shape[1] == 2 and areas.max() < 0.33


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--objective BYOL --local 2", "local=2: BYOL reads no local views"),
        ("--prototypes 8", "prototypes=8: PixPro has no prototypes"),
        ("--objective IBOT", "an objective that hides cells needs a ViT"),
    ],
)
def test_mistakes_are_named(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(COMMAND, "step", ["--backbone", "test_resnet", *options.split()]) == 2
    assert message in capsys.readouterr().err


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
    options = "--backbone test_resnet --size 32 --batch 4 --hidden 8 16 --repetitions 1"
    assert execute(COMMAND, "step", options.split()) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert "test_resnet" in lines[0] and "medians of 1" in lines[0]
    table = [line for line in lines if line.startswith("|")]
    assert [line.count("|") for line in table] == [len(COLUMNS) + 1] * 4
    assert [line.split("|")[1].strip() for line in table[2:]] == ["8", "16"]


def test_options_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[StepSettings] = []
    row = dict.fromkeys(COLUMNS, 0.0)
    monkeypatch.setattr(step, "measure", lambda settings: (timed.append(settings), row)[1])
    options = "--objective BYOL --precision bf16 --output-stride 8 --no-channels-last"
    assert execute(COMMAND, "step", options.split()) == 0
    assert [settings.hidden for settings in timed] == [512, 4096]
    settings = timed[0]
    assert (settings.objective, settings.precision, settings.output_stride) == ("BYOL", "bf16", 8)
    assert not settings.channels_last and not settings.compile


def test_medians_are_those_of_ratios_within_a_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three repetitions with known seconds; the warm-up's do not count."""
    steps = iter([1.0, 9.0, 1.0, 2.0, 4.0])  # the first is run before anything is timed

    class Known:
        device, clock = torch.device("cpu"), staticmethod(time.perf_counter)

        def __init__(self, settings: StepSettings) -> None:
            pass

        def run(self) -> dict[str, float]:
            taken = next(steps)
            return {"photometrics": 0.1 * taken, "optimiser": 0.1, "EMA": 0.05, "step": taken}

        def bare(self) -> Known:
            return self

        def measure(self, clock: object) -> dict[str, float]:
            return {"forward": 0.25, "backward": 0.25}

        def heads(self) -> float:
            return 0.2

    monkeypatch.setattr(step, "Step", Known)
    values = measure(StepSettings(batch=8, warmup=1, repetitions=3))
    assert values["images/s"] == 8 / 2 and values["ms/step"] == 2000 and values["ms bare"] == 500
    assert values["step efficiency"] == 0.25  # the median of 0.5, 0.25 and 0.125
    assert values["photometrics"] == pytest.approx(0.1)
    assert (values["optimiser"], values["EMA"], values["heads + loss"]) == (0.05, 0.025, 0.1)
    assert values["rest"] == pytest.approx(1 - sum(values[name] for name in SHARES))


def test_a_row_has_the_columns_order() -> None:
    values = dict(
        zip(COLUMNS[1:], (12.34, 81, 40, 0.5, 0.1, 0.2, 0.03, 0.04, 0.13, 1.5), strict=True)
    )
    assert table_row(None, values) == (
        "| own | 12.3 | 81 | 40 | 0.500 | 10.0 % | 20.0 % | 3.0 % | 4.0 % | 13.0 % | 1.50 |"
    )


def test_processor_seconds_do_not_count_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Step(StepSettings(**{**TOY.__dict__, "clock": "cpu"}))
    prepare = one.model.data_preprocessor.forward
    monkeypatch.setattr(
        one.model.data_preprocessor, "forward", lambda *a: (time.sleep(0.5), prepare(*a))[1]
    )
    assert one.run()["photometrics"] < 0.4
    assert execute(COMMAND, "step", "--clock cpu --device cuda".split()) == 2
