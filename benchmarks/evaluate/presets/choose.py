"""From ``--preset NAME --data LAYOUT:ROOT --set NAME.KEY=VALUE`` to tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.evaluate.arguments import settings_of, split_data
from benchmarks.evaluate.presets.load import load_preset
from benchmarks.evaluate.presets.preset import Preset
from benchmarks.evaluate.presets.task import PresetTask, open_task
from benchmarks.evaluate.suite import find_benchmark


def make_preset_tasks(
    names: Sequence[str],
    data: Sequence[str],
    settings: Sequence[str],
    *,
    seeds: tuple[int, ...] = (),
    model: str | None = None,
) -> list[PresetTask]:
    """Opens the data of each preset and checks what is changed.

    Args:
        names: of presets, or paths of their files.
        data: ``LAYOUT:ROOT?options``; a preset takes the one of its own layout, else the only one
            that its benchmark reads; each must be taken.
        settings: ``PRESET.KEY=VALUE``.
        seeds: repetitions of the training.
        model: row of the published numbers that the network is; None: timm's name tells.

    Raises:
        ValueError: no or several data sets for a preset, one that none takes, else as
            :func:`load_preset` and :func:`open_task`.
        FileNotFoundError: as these.
    """
    presets: dict[str, Preset] = {}
    for preset in map(load_preset, names):
        if preset.name in presets:
            raise ValueError(f"preset {preset.name} is named twice; name it once")
        presets[preset.name] = preset
    given = settings_of(list(presets), settings, word="PRESET")
    tasks, unread = [], list(data)
    for preset in presets.values():
        item = data_for(preset, data)
        unread = [other for other in unread if other != item]
        layout, root, options = split_data(item)
        task = open_task(
            preset,
            root,
            layout=layout,
            options=options,
            given=given[preset.name],
            seeds=seeds,
            model=model,
        )
        own = [text for text in settings if text.startswith(f"{preset.name}.")]
        task.config = dict(
            preset=preset.file, data=item, settings=own, seeds=list(seeds), model=model
        )
        _share_images(task, tasks)
        tasks.append(task)
    if unread:
        raise ValueError(
            f"--data {unread[0]!r}: none of the presets {', '.join(presets)} takes it; leave it out"
        )
    return tasks


def data_for(preset: Preset, data: Sequence[str]) -> str:
    """The data set of a preset.

    Args:
        preset: which.
        data: as in :func:`make_preset_tasks`.

    Raises:
        ValueError: none or several fit; names the layout of the published one.
    """
    published = preset.data["layout"].value
    reader = find_benchmark(preset.benchmark).data
    own = [item for item in data if split_data(item)[0] == published]
    readable = [item for item in data if reader.arguments(*split_data(item)) is not None]
    fitting = own or readable
    if len(fitting) != 1:
        raise ValueError(
            f"preset {preset.name} needs one --data {published}:ROOT, found {len(fitting)}"
        )
    return fitting[0]


def _share_images(task: PresetTask, others: Sequence[PresetTask]) -> None:
    """Presets that read the same data share decoded images."""
    for other in others:
        if other.arguments == task.arguments and type(other.data) is type(task.data):
            task.data = other.data


def task_again(config: Mapping[str, Any]) -> PresetTask:
    """Makes a task from its own ``config``, as a record keeps it in its request.

    Args:
        config: of a task of :func:`make_preset_tasks`.

    Raises:
        ValueError, FileNotFoundError: as :func:`make_preset_tasks`.
    """
    (task,) = make_preset_tasks(
        [config["preset"]],
        [config["data"]],
        config["settings"],
        seeds=tuple(config["seeds"]),
        model=config["model"],
    )
    return task
