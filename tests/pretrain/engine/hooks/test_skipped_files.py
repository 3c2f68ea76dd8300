"""Unreadable files: listed once, counted over processes and resumes, and a reason to stop when too
many.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.registry import HOOKS

from pretrain.engine.hooks.skipped_files import SkippedFilesHook, TooManyBadFiles

Entry = tuple[int, str]


def make_runner(work_dir: Path, length: int) -> SimpleNamespace:
    """What the hook uses of a runner."""
    return SimpleNamespace(
        work_dir=str(work_dir),
        logger=logging.getLogger("skipped_files"),
        train_dataloader=SimpleNamespace(dataset=range(length)),
        train_loop=SimpleNamespace(skipped=[], step_ids=[]),
    )


def step(
    hook: SkippedFilesHook, runner: SimpleNamespace, *bad: int, images: int = 10, micro: int = 1
) -> None:
    """One optimiser step of ``images`` images in ``micro`` micro-batches, in which the files
    ``bad`` were replaced.
    """
    runner.train_loop.skipped = [(i, f"folder/{i}.jpg: broken") for i in bad]
    runner.train_loop.step_ids = list(torch.zeros(images, dtype=torch.int64).chunk(micro))
    hook.after_train_iter(runner, 0, None, {})


def listed(runner: SimpleNamespace) -> list[str]:
    path = Path(runner.work_dir) / "skipped_files.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_each_file_is_listed_and_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook, runner = HOOKS.build(dict(type="SkippedFilesHook")), make_runner(tmp_path, 10_000)
    with caplog.at_level(logging.WARNING):
        step(hook, runner)
        assert not (tmp_path / "skipped_files.txt").exists()
        step(hook, runner, 7, 3, 7, micro=2)
        step(hook, runner, 3, 4)
    assert listed(runner) == [f"{i}\tfolder/{i}.jpg: broken" for i in (3, 7, 4)]
    assert [record.args[0] for record in caplog.records] == [3, 7, 4]


def steps_until_stop(
    hook: SkippedFilesHook, runner: SimpleNamespace, *, every: int, images: int = 10
) -> int | None:
    """Of images visited in order the last of each ``every`` is bad; steps until the run stops, None
    after an epoch.
    """
    length = len(runner.train_dataloader.dataset)
    for number, start in enumerate(range(0, length, images), start=1):
        try:
            step(
                hook,
                runner,
                *[i for i in range(start, start + images) if i % every == every - 1],
                images=images,
            )
        except TooManyBadFiles:
            return number
    return None


def test_stops_beyond_the_fraction(tmp_path: Path) -> None:
    # 2 % bad: judged as of 1,000 images, so the 11th bad file (image 549, the 55th step) is one too
    # many
    assert steps_until_stop(SkippedFilesHook(), make_runner(tmp_path, 10_000), every=50) == 55
    assert len(listed(make_runner(tmp_path, 0))) == 11
    # exactly 1 % is allowed, also over a whole epoch
    assert steps_until_stop(SkippedFilesHook(), make_runner(tmp_path, 10_000), every=100) is None
    assert steps_until_stop(SkippedFilesHook(0.03), make_runner(tmp_path, 10_000), every=50) is None
    # beyond min_images the bound grows with the images seen
    hook = SkippedFilesHook(min_images=100)
    assert steps_until_stop(hook, make_runner(tmp_path, 10_000), every=50, images=50) == 2


def test_small_source_is_judged_as_a_whole(tmp_path: Path) -> None:
    hook, runner = SkippedFilesHook(), make_runner(tmp_path, 200)  # 2 bad of 200 are 1 %
    step(hook, runner, 0, 1)
    with pytest.raises(TooManyBadFiles):
        step(hook, runner, 2)


def test_zero_tolerance(tmp_path: Path) -> None:
    hook, runner = SkippedFilesHook(0.0), make_runner(tmp_path, 10_000)
    step(hook, runner)
    with pytest.raises(TooManyBadFiles):
        step(hook, runner, 1)


def test_first_batch_wholly_unreadable_stops_at_once(tmp_path: Path) -> None:
    hook, runner = SkippedFilesHook(), make_runner(tmp_path, 10_000)
    with pytest.raises(TooManyBadFiles) as caught:
        step(hook, runner, *range(4), images=4)  # only 4, which 1 % of 1,000 would allow
    for word in (
        "4 unreadable files",
        "first 4 of 10000",
        "loader.max_bad_fraction=0.01",
        "folder/0.jpg: broken",
    ):
        assert word in str(caught.value)
    assert str(tmp_path / "skipped_files.txt") in str(caught.value)
    assert len(listed(runner)) == 4


def test_repeated_epochs_do_not_dilute(tmp_path: Path) -> None:
    """The number of images seen never exceeds the source, so old bad files are not outvoted by
    repetition.
    """
    hook, runner = SkippedFilesHook(min_images=100), make_runner(tmp_path, 100)
    for _ in range(1000):
        step(hook, runner, 5)
    with pytest.raises(TooManyBadFiles):
        step(hook, runner, 6)


def test_state_survives_a_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hook, runner = SkippedFilesHook(), make_runner(tmp_path, 10_000)
    step(hook, runner, 1, 2)
    checkpoint: dict = {}
    hook.before_save_checkpoint(runner, checkpoint)
    torch.save(checkpoint, tmp_path / "c.pth")
    step(hook, runner, 3)  # found after the checkpoint, then the process dies
    resumed = SkippedFilesHook()
    resumed.after_load_checkpoint(runner, torch.load(tmp_path / "c.pth", weights_only=True))
    caplog.clear()
    step(resumed, runner, 1, 3)
    assert [record.args[0] for record in caplog.records] == [3]  # 1 was warned of before
    assert [line.split("\t")[0] for line in listed(runner)] == [
        "1",
        "2",
        "3",
    ]  # and 3 is not listed twice
    state: dict = {}
    resumed.before_save_checkpoint(runner, state)
    assert set(state["skipped_files"]["bad"]) == {1, 2, 3} and state["skipped_files"]["drawn"] == 20


def test_checkpoint_without_our_entry(tmp_path: Path) -> None:
    hook = SkippedFilesHook()
    hook.after_load_checkpoint(make_runner(tmp_path, 10), {})
    step(hook, make_runner(tmp_path, 10_000), 1)


@pytest.mark.parametrize(
    ("name", "value"), [("max_bad_fraction", 1.5), ("max_bad_fraction", -0.1), ("interval", 0)]
)
def test_illegal_arguments(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        SkippedFilesHook(**{name: value})


def _rank(rank: int, port: int, work_dir: Path) -> None:
    """Both ranks find files, one in common, and have to stop in the same iteration."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    hook, runner = SkippedFilesHook(min_images=200, interval=3), make_runner(work_dir, 10_000)
    stopped = None
    bad = {0: [(5,), (), (6,), (), (), (), ()], 1: [(5,), (7,), (), (8,), (), (), ()]}[rank]
    for iteration, files in enumerate(bad):
        try:
            step(hook, runner, *files)
        except TooManyBadFiles as error:
            stopped = (iteration, str(error).split(": more")[0])
            break
    (work_dir / f"rank{rank}.txt").write_text(repr(stopped))
    dist.destroy_process_group()


def test_two_processes_agree(tmp_path: Path, free_port: int) -> None:
    # forked, because starting Python and torch afresh takes longer than all other tests of this
    # file together
    mp.start_processes(_rank, (free_port, tmp_path), nprocs=2, start_method="fork")
    # exchanges after iterations 0, 3, 6: file 5 once; then 6, 7, 8, together 4 of 80 images,
    # allowed 1 % of 200
    expected = repr((3, "4 unreadable files among the first 80 of 10000 images"))
    assert [(tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1)] == [expected] * 2
    assert [line.split("\t")[0] for line in listed(make_runner(tmp_path, 0))] == [
        "5",
        "6",
        "7",
        "8",
    ]
