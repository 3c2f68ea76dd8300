"""Checkpoints of every origin are read safely; what is none is called what it is."""

from __future__ import annotations

import argparse
import errno
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from safetensors.torch import save_file
from torch import nn

from pretrain.checkpoint_file import read_checkpoint

PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in &amp; confirm</title></head><body>no</body></html>"
)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 99123456\n"


def refusal(path: Path) -> str:
    """The reader's message about a file."""
    with pytest.raises(ValueError, match=path.name) as caught:
        read_checkpoint(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PAGE, "is a web page (HTML, titled 'Sign in & confirm')"),
        (b"\xef\xbb\xbf\n <html>", "is a web page (HTML)"),
        (POINTER, "is a git-lfs pointer to a file of 99,123,456 bytes: run 'git lfs pull'"),
        (b"/annex/objects/SHA256E-s1--4d7a\n", "is a git-annex pointer"),
        (b"", "is empty (0 bytes)"),
        (b'{"error": "not found"}', 'is text (22 bytes, begins \'{"error"'),
        ("ä".encode() * 5000, "is text (10,000 bytes, begins 'ää"),
        (b"\x1f\x8b\x08\x00rest", "is compressed (gzip): unpack it first"),
        (b"\x89HDF\r\n\x1a\nrest", "is an HDF5 file"),
        (bytes(range(128, 256)) * 20, "is not a checkpoint (2,560 bytes"),
        (b"\x80\x02}q\x00.", "is a plain pickle file"),
    ],
)
def test_files_of_other_kinds_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    path.write_bytes(content)
    text = refusal(path)
    assert "cannot be read as tensors and plain values only: it " + message in text
    assert "weights_only=False" not in text and "\n" not in text


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_a_file_that_ends_early(share: float, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "half.pth"
    torch.save(
        {"model": nn.Linear(64, 64).state_dict(), "epoch": 3},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "is cut short" in refusal(path)


def test_safetensors_are_known_by_content_and_may_end_early_too(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.pth"
    save_file({"weight": torch.arange(8.0)}, path)
    assert torch.equal(read_checkpoint(path)["weight"], torch.arange(8.0))
    path.write_bytes(path.read_bytes()[:-4])
    assert "is a safetensors file that is cut short or damaged" in refusal(path)
    torch.save({"weight": torch.ones(1)}, tmp_path / "misnamed.safetensors")
    assert read_checkpoint(tmp_path / "misnamed.safetensors")["weight"] == 1


def test_other_archives_are_named(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1)}, tmp_path / "inner.pth")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "inner.pth", "inner.pth")
    assert "is a tar archive (inner.pth): unpack it" in refusal(tmp_path / "x.tar")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "inner.pth", "inner.pth")
    assert "is a zip archive (inner.pth): unpack it" in refusal(tmp_path / "x.zip")
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    assert "is a numpy archive (.npz, 1 arrays)" in refusal(tmp_path / "x.npz")
    pickle.dump({"a": np.zeros(1)}, open(tmp_path / "x.pkl", "wb"))
    assert "is a plain pickle file" in refusal(tmp_path / "x.pkl")


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "x.pt"))
    assert "is a TorchScript module" in refusal(tmp_path / "x.pt")


class Options:
    """A class of somebody's training script."""


def cure_of(text: str, path: Path) -> dict[str, Any]:
    """Follows the advice of a message to the letter and reads what it wrote."""
    advice = text[text.index("torch.save(") :]
    q = path.with_name("cured.pth")
    exec(advice, {"torch": torch, "p": path, "q": q})
    return read_checkpoint(q)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_whole_module_is_named_and_the_cure_works(zipped: bool, tmp_path: Path) -> None:
    path, module = tmp_path / "whole.pth", nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    torch.save(module, path, _use_new_zipfile_serialization=zipped)
    text = refusal(path)
    assert "it is a whole pickled object (torch.nn.modules.container.Sequential)" in text
    assert torch.equal(cure_of(text, path)["0.weight"], module[0].weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda module: dict(epoch=3, args=Options(), net=module.state_dict()),
        lambda module: dict(args=Options(), epoch=3, net=module),
        lambda module: dict(module.state_dict(), args=Options()),
    ],
    ids=["state dict", "module", "bare"],
)
def test_foreign_objects_are_named_and_the_cure_works(
    make: Callable[[nn.Module], dict[str, Any]], tmp_path: Path
) -> None:
    path, module = tmp_path / "mixed.pth", nn.Sequential(nn.Linear(2, 3))
    torch.save(make(module), path)
    text = refusal(path)
    assert "holds other Python objects as well (" in text and "Options" in text
    assert torch.equal(cure_of(text, path)["0.weight"], module[0].weight)


KINDS = (np.bool_, np.int8, np.int16, np.uint16, np.uint64, np.float16, np.float32, np.float64)
KINDS += (np.longdouble, np.complex64, np.complex128)


@pytest.mark.parametrize("home", [b"numpy._core", b"numpy.core"], ids=["numpy 2", "numpy 1"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_scalars_of_numpy_are_read(kind: Any, home: bytes, tmp_path: Path) -> None:
    written, path = tmp_path / "written.pth", tmp_path / "x.pth"
    torch.save({"best": kind(1), "all": np.array([1, 0], dtype=kind)}, written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():  # as the other numpy calls its modules
            target.writestr(name, source.read(name).replace(b"numpy._core", home))
    content = read_checkpoint(path)
    assert type(content["best"]) is kind and content["best"] == 1
    assert content["all"].dtype == kind and content["all"].tolist() == [1, 0]


def test_texts_dates_options_and_paths_are_read(tmp_path: Path) -> None:
    saved = dict(
        name=np.str_("vit"),
        day=np.datetime64("2024-02-29"),
        took=np.timedelta64(3, "s"),
        args=argparse.Namespace(out=Path("a/b")),
    )
    torch.save(saved, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth") == saved


def test_what_is_no_file(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "iter_4.pth")
    (tmp_path / "annexed.pth").symlink_to(tmp_path / "gone")
    for path, message in (
        (tmp_path, "is a folder, not a checkpoint; in it: annexed.pth, iter_4.pth"),
        (tmp_path / "annexed.pth", "is a link to .*gone, which is not there; .*git annex get"),
        (tmp_path / "none.pth", "no such checkpoint; in that folder: annexed.pth, iter_4.pth"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            read_checkpoint(path)
    torch.save([1], tmp_path / "list.pth")
    assert "list.pth holds a list, not a dict of tensors" in refusal(tmp_path / "list.pth")


def test_too_little_memory_keeps_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    torch.save({}, tmp_path / "x.pth")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryError, match="does not fit into the memory of cpu"):
        read_checkpoint(tmp_path / "x.pth")


def test_what_the_system_refuses_keeps_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    torch.save({}, tmp_path / "x.pth")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(OSError, match="Input/output error"):
        read_checkpoint(tmp_path / "x.pth")


class Reference:
    """Is pickled as an attribute of ``owner``, looked up at loading."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.owner, self.name)


def test_the_logs_of_mmengine_are_read(tmp_path: Path) -> None:
    hub = MessageHub("test_weights")
    hub.update_scalar("loss", 2.0)
    torch.save(dict(message_hub=hub.state_dict()), tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth")["message_hub"]["log_scalars"]["loss"].mean() == 2


@pytest.mark.parametrize(
    ("owner", "name"), [(HistoryBuffer, "__init__"), (getattr, "__self__"), (torch.Tensor, "min")]
)
def test_attributes_of_anything_else_are_refused(owner: Any, name: str, tmp_path: Path) -> None:
    torch.save(dict(x=Reference(owner, name)), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="asks for attribute"):
        read_checkpoint(tmp_path / "x.pth")
