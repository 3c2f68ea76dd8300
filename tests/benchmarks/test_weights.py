"""Checkpoints of others are read, and no file reaches Python's own functions over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from benchmarks.weights import read_checkpoint
from pretrain.engine import checkpoints


class Reference:
    """Is pickled as an attribute of ``owner``, looked up at loading."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.owner, self.name)


readers = pytest.mark.parametrize("read", [read_checkpoint, checkpoints.read_checkpoint], ids=["benchmarks", "engine"])


@readers
def test_the_logs_of_mmengine_are_read(read: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    hub = MessageHub("test_weights")
    hub.update_scalar("loss", 2.0)
    torch.save(dict(message_hub=hub.state_dict()), tmp_path / "x.pth")
    assert read(tmp_path / "x.pth")["message_hub"]["log_scalars"]["loss"].mean() == 2


@readers
@pytest.mark.parametrize(("owner", "name"), [(HistoryBuffer, "__init__"), (getattr, "__self__"), (torch.Tensor, "min")])
def test_attributes_of_anything_else_are_refused(
    read: Callable[[Path], dict[str, Any]], owner: Any, name: str, tmp_path: Path
) -> None:
    torch.save(dict(x=Reference(owner, name)), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="asks for attribute"):
        read(tmp_path / "x.pth")
