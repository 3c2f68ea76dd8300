"""Golden values of the PixPro specification (100 epochs of 1251 steps at batch 1024) and the
counting rules.
"""

from __future__ import annotations

import math

import pytest

from pretrain.engine.schedule import Schedule, make_schedule, micro_batch, peak_lr
from pretrain.engine.settings import ConfigError, ScheduleSettings

PER_EPOCH = 1251
IMAGENET = 1_281_167


def pixpro() -> Schedule:
    return make_schedule(
        ScheduleSettings(global_batch=1024, epochs=100, warmup_epochs=5, lr_per_256=1.0), IMAGENET
    )


@pytest.mark.parametrize(
    ("epoch", "lr", "digits"),
    [
        (0, 0.04, 6),
        (1, 0.832, 6),
        (2.5, 2.0197, 4),
        (5, 4.0, 9),
        (10, 3.9727, 4),
        (90, 0.1084, 4),
        (100, 1e-6, 12),
    ],
)
def test_learning_rate_has_the_printed_values(epoch: float, lr: float, digits: int) -> None:
    assert pixpro().lr(math.floor(epoch * PER_EPOCH)) == pytest.approx(lr, abs=0.5 * 10**-digits)


def test_drops_are_tenfold_and_none_is_constant() -> None:
    """Ten steps an epoch: warm-up over the first, drops after the third and the fifth."""

    def rates(drops: tuple[float, ...]) -> list[float]:
        fields = dict(global_batch=10, epochs=6, warmup_epochs=1, warmup_from=0.0)
        rule = dict(lr_rule="none", lr=0.5, drop_epochs=drops)
        schedule = make_schedule(ScheduleSettings(**fields, **rule), 100)
        return [schedule.lr(step) for step in (0, 5, 10, 29, 30, 49, 50, 60)]

    expected = [0, 0.25, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005]
    assert rates((3, 5)) == pytest.approx(expected)
    assert rates(()) == pytest.approx([0, 0.25] + 6 * [0.5])


def test_imagenet_has_the_papers_steps() -> None:
    schedule = pixpro()
    assert (schedule.steps, schedule.warmup_steps) == (100 * PER_EPOCH, 5 * PER_EPOCH)


@pytest.mark.parametrize("drops", [(60, 30), (30, 30), (0, 30), (-1,)])
def test_drops_must_ascend(drops: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="schedule.drop_epochs=.* ascending numbers > 0"):
        ScheduleSettings(epochs=100, lr_per_256=1.0, drop_epochs=drops)


def test_warm_up_is_linear_and_the_decay_monotone() -> None:
    schedule = pixpro()
    rises = [schedule.lr(s + 1) - schedule.lr(s) for s in range(0, 5 * PER_EPOCH - 1, 100)]
    assert max(rises) == pytest.approx(min(rises), rel=1e-6)
    falls = [schedule.lr(s) for s in range(5 * PER_EPOCH, 100 * PER_EPOCH + 1, 50)]
    assert falls == sorted(falls, reverse=True)


@pytest.mark.parametrize(
    ("rule", "batch", "expected"),
    [
        ("linear", 1024, 4.0),
        ("linear", 512, 2.0),
        ("sqrt", 256, 1.0),
        ("sqrt", 1024, 2.0),
    ],
)
def test_peak_follows_the_batch(rule: str, batch: int, expected: float) -> None:
    settings = ScheduleSettings(global_batch=batch, epochs=1, lr_rule=rule, lr_per_256=1.0)
    assert peak_lr(settings) == pytest.approx(expected)


def test_the_authors_square_root_rule_is_two_per_256() -> None:
    settings = ScheduleSettings(global_batch=512, epochs=1, lr_rule="sqrt", lr_per_256=2.0)
    assert peak_lr(settings) == pytest.approx(2.828, abs=5e-4)


def test_none_takes_the_rate_as_it_is() -> None:
    schedule = make_schedule(
        ScheduleSettings(global_batch=8, samples=800, lr_rule="none", lr=0.3), 100
    )
    assert schedule.lr(0) == pytest.approx(0.3)
    assert schedule.lr(schedule.steps) == pytest.approx(1e-6)


def test_samples_and_epochs_count_whole_batches() -> None:
    by_samples = ScheduleSettings(global_batch=10, samples=99, lr_per_256=1.0)
    by_epochs = ScheduleSettings(global_batch=10, epochs=2.5, lr_per_256=1.0)
    assert make_schedule(by_samples, 1000).steps == 9  # 100 images would exceed the budget
    assert (
        make_schedule(by_epochs, 47).steps == 10
    )  # 4 whole batches per epoch, the tail of 7 is dropped


def test_progress_ends_at_one() -> None:
    schedule = pixpro()
    assert schedule.progress(schedule.steps // 4) == pytest.approx(0.25)
    assert schedule.progress(schedule.steps) == 1.0


@pytest.mark.parametrize(
    ("fields", "images", "message"),
    [
        (dict(global_batch=64, epochs=1), 63, "global_batch=64.*63 images"),
        (dict(global_batch=64, samples=63), 100, "samples=63.*less than one step"),
        (dict(global_batch=10, epochs=1, warmup_epochs=1), 100, "warm-up takes 10 of 10"),
    ],
)
def test_impossible_schedules_are_refused(fields: dict, images: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_schedule(ScheduleSettings(lr_per_256=1.0, **fields), images)


def test_micro_batches_divide_the_global_batch_or_say_what_would() -> None:
    settings = ScheduleSettings(global_batch=96, epochs=1, lr_per_256=1.0, accumulate=3)
    assert micro_batch(settings, world=8) == 4
    with pytest.raises(
        ConfigError, match="not divisible by 5 processes × accumulate=3; 90 would be"
    ):
        micro_batch(settings, world=5)
