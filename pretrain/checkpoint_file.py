"""Reading checkpoint files of any origin by torch's safe loader: no code of a file ever runs."""

from __future__ import annotations

import argparse
import errno
import pathlib
from pathlib import Path
from typing import Any

import mmengine.logging.history_buffer as history
import numpy as np
import torch
from mmengine.config import ConfigDict
from safetensors.torch import load_file

from pretrain.foreign_files import is_safetensors, why_unreadable

# Training scripts store losses, accuracies and options as any of numpy's scalars.
_SCALARS = (
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128),
    *(np.str_, np.bytes_, np.datetime64, np.timedelta64),
)


def read_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Reads a checkpoint: ``torch.save``'s in either format, or safetensors, known by content.

    Args:
        path: The file.
        device: Where the tensors go.

    Returns:
        What was saved: a dict of tensors, plain values, numpy's scalars and arrays, paths and
        ``argparse`` options.

    Raises:
        FileNotFoundError: no such file; the message says what is in that folder.
        ValueError: the file is no checkpoint, is damaged, or holds other Python objects; the
            message says what it is and what to do.
        MemoryError: the tensors do not fit.
    """
    path = Path(path)
    _check_is_file(path)
    try:
        content = _load(path, device)
    except Exception as error:  # torch's unpickler raises whatever the bytes make it raise
        # A file cut short makes torch seek to where nothing is (EINVAL); else the system's own
        # text names the reason.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        if _is_out_of_memory(error):
            size = path.stat().st_size / 2**30
            message = f"{path} ({size:.1f} GiB) does not fit into the memory of {device}"
            raise MemoryError(message) from error
        why = why_unreadable(path, error)
        raise ValueError(
            f"{path} cannot be read as tensors and plain values only: it {why}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}, not a dict of tensors; "
            "save model.state_dict()"
        )
    return content


def safe_globals() -> list[Any]:
    """Returns what others' checkpoints hold besides tensors, for torch's safe loader.

    None of it runs code of a file, and our own checkpoints need none of it. ``getattr`` itself is
    left out: over a function's globals a file could reach ``eval`` with it.
    """
    numpy = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray
    named = []
    for home in (
        "numpy.core",
        "numpy._core",
    ):  # numpy 1 and numpy 2; a file of either is read under either
        named.append((numpy.scalar, f"{home}.multiarray.scalar"))
        named.append((numpy._reconstruct, f"{home}.multiarray._reconstruct"))
    for home in ("pathlib", "pathlib._local"):  # the second is what Python 3.13 writes
        named.append((pathlib.PosixPath, f"{home}.PosixPath"))
        named.append((pathlib.PurePosixPath, f"{home}.PurePosixPath"))
    dtypes = sorted({type(np.dtype(kind)) for kind in _SCALARS}, key=str)
    return [
        *(history.HistoryBuffer, ConfigDict, argparse.Namespace, np.ndarray, np.dtype, set),
        *dtypes,
        *named,
        (_history_method, "builtins.getattr"),
    ]


def _check_is_file(path: Path) -> None:
    """Refuses what is no file, with what stands in its place."""
    if path.is_file():
        return
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} is a folder, not a checkpoint; in it: {_checkpoints_in(path)}"
        )
    if path.is_symlink():
        raise FileNotFoundError(
            f"{path} is a link to {path.readlink()}, which is not there; fetch that file "
            "(in a repository of git-annex or DataLad: git annex get)"
        )
    raise FileNotFoundError(
        f"{path}: no such checkpoint; in that folder: {_checkpoints_in(path.parent)}"
    )


def _checkpoints_in(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("*.pth"))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) or "no .pth files") + more


def _is_out_of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate" in str(error)


def _load(path: Path, device: torch.device | str) -> Any:
    if is_safetensors(path):
        return load_file(path, device=str(device))
    # Opened here, because torch takes a file for safetensors by its name alone.
    with torch.serialization.safe_globals(safe_globals()), open(path, "rb") as opened:
        return torch.load(opened, map_location=device, weights_only=True)


def _history_method(owner: Any, name: str) -> Any:
    """Stands in for ``getattr``, by which pickle refers to the methods of a ``HistoryBuffer``.

    Raises:
        ValueError: anything else.
    """
    if owner is not history.HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise ValueError(
            f"the file asks for attribute {name!r} of {owner!r}: no checkpoint needs that"
        )
    return getattr(owner, name)
