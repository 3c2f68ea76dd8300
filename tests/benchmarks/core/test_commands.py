"""What command lines share: records on a full disk, things named twice, names that fit tables."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.core.commands import (
    RecordFile,
    choose_device,
    full_names,
    require_distinct,
    shorten,
)
from benchmarks.core.record import Metric, Record, read_all

RECORD = Record("knn", {"top1": Metric(12.5, "%", "higher")}, {"neighbours": 3})
FULL = Path("/dev/full")  # opens, and has no space left
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def console() -> Console:
    return Console(file=io.StringIO(), width=80)


def test_records_are_appended_and_counted(tmp_path: Path) -> None:
    shown = console()
    file = RecordFile(tmp_path / "new" / "r.jsonl", shown)
    assert not (tmp_path / "new").exists()
    file.append(RECORD)
    file.append(RECORD)
    file.summarise()
    file.require_whole()
    assert len(read_all(tmp_path / "new" / "r.jsonl")) == 2
    assert shown.file.getvalue().startswith("2 records appended to ")


@needs_full_device
def test_a_full_disk_sends_the_record_to_the_screen_and_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = console()
    file = RecordFile(FULL, shown)
    file.append(RECORD)
    file.summarise()
    assert json.loads(shown.file.getvalue()) == json.loads(
        RECORD.to_json()
    )  # the record alone: no "appended"
    with pytest.raises(
        OSError, match=r"/dev/full: 1 records could not be appended .*No space left.*rescued_full"
    ):
        file.require_whole()
    assert read_all(tmp_path / "rescued_full") == [RECORD]


def test_where_the_current_folder_is_full_too_temporary_files_take_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("benchmarks.core.commands.tempfile.gettempdir", lambda: str(temporary))
    write = Record.append

    def fail_here(self: Record, path: str | Path) -> None:
        if here in Path(path).parents:
            raise OSError(28, "No space left on device")
        write(self, path)

    file = RecordFile(here / "r.jsonl", console())
    monkeypatch.setattr(Record, "append", fail_here)
    file.append(RECORD)
    assert read_all(temporary / "rescued_r.jsonl") == [RECORD]
    with pytest.raises(OSError, match="temporary/rescued_r.jsonl"):
        file.require_whole()


def test_devices_that_are_not_there_are_refused() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="--device 'gpu': not a device; write cpu, cuda or cuda:0"):
        choose_device("gpu")
    with pytest.raises(
        ValueError, match=r"--device cuda:99: this machine has \d+ GPUs that torch can use"
    ):
        choose_device("cuda:99")


def test_what_is_named_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pth").touch()
    require_distinct(
        ["a.pth", "a.pth?weights=target", "random:resnet18", "random:resnet18?seed=1"], "network"
    )
    for second in ("a.pth", "./a.pth", str(tmp_path / "a.pth")):
        with pytest.raises(
            ValueError, match=r"network .*a.pth' is named twice \('a.pth' before it\)"
        ):
            require_distinct(["a.pth", "random:resnet18", second], "network")
    with pytest.raises(ValueError, match="named twice"):
        require_distinct(["random:resnet18", "random:resnet18"], "network")


def test_long_names_are_cut_in_the_middle_and_stay_different() -> None:
    assert shorten(["a.pth", "b.pth"], 20) == {"a.pth": "a.pth", "b.pth": "b.pth"}
    ends = [f"work_dirs/scenes/pixpro/pretrain_with_long_name_{n}/final.pth" for n in range(3)]
    begins = [f"work_dirs/pixpro_{n}/a/folder/with/a/long/name/in/it/final.pth" for n in range(3)]
    for names in (
        ends,
        begins,
        [f"{n}{'x' * 60}" for n in range(12)],
        ["x" * 40 + "a" * n for n in range(1, 9)],
    ):
        for width in (12, 20, 30):
            short = shorten(names, width)
            assert list(short) == names and len(set(short.values())) == len(names)
            assert all(len(printed) <= width for printed in short.values())
    assert "_1/" in shorten(ends, 24)[ends[1]] and "…" in shorten(ends, 24)[ends[1]]
    assert full_names({"a": "a", "long": "l…g"}) == ["l…g = long"]
