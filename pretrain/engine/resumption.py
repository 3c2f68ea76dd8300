"""The folder of a run: who trains there, which checkpoint is continued, and whether it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn
from torch.optim import Optimizer

from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine import checkpoints
from pretrain.engine.config import parse
from pretrain.engine.distributed import from_first_rank
from pretrain.engine.settings import ConfigError
from pretrain.files import require_writable
from pretrain.folder_lock import Busy, FolderLock

#: Sections that decide what is computed; a run is only continued by itself with the same ones.
RECIPE = ("model", "source", "views", "schedule", "optimizer", "seed")
LOCK_WAIT_S = 5.0  # a killed run's processes may take a moment to end
_OTHERWISE = "resume with the {} of its run, or start a new run from its weights with load_from"
_NEEDED = ("meta", "state_dict", "optimizer", "sampler", "rng")


class RunLock:
    """The mark of a run on its ``work_dir``: while it is held, no other process trains there.

    The first process of a launch holds it for all. It ends with the run, however that ends, so a
    killed run's folder can be resumed at once, and one whose run left no checkpoint is free for any
    other.

    Args:
        folder: the run's ``work_dir``.
        wait_s: seconds to wait for another process that holds it; None: as long as a killed run's
            processes may take to end.
    """

    def __init__(self, folder: str | Path, *, wait_s: float | None = None) -> None:
        self._folder, self._wait_s = Path(folder), wait_s
        self._lock: FolderLock | None = None

    def take_if_there(self) -> None:
        """Checks that the folder can be written, and takes the lock if it exists. Collective.

        Raises:
            ConfigError: the folder cannot be written, or another process trains in it.
        """
        from_first_rank(self._look)

    def take(self, *, expected: bool) -> None:
        """Takes the lock unless it is held; makes the folder. Collective.

        Args:
            expected: whether the folder may hold checkpoints.

        Raises:
            ConfigError: another process trains in this folder, or did so since it was looked into.
        """
        from_first_rank(lambda: self._take() if self._lock is None else None)
        if not expected and checkpoints.latest_checkpoint(self._folder) is not None:
            raise ConfigError(
                f"work_dir={str(self._folder)!r}: another run began there just now; choose another"
            )

    def release(self) -> None:
        """Gives the folder free."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _look(self) -> None:
        try:
            require_writable(self._folder, "work_dir", folder=True)
        except OSError as error:
            raise ConfigError(str(error)) from error
        if self._folder.is_dir():
            self._take()

    def _take(self) -> None:
        try:
            wait_s = LOCK_WAIT_S if self._wait_s is None else self._wait_s
            self._lock = FolderLock(self._folder, "training", wait_s=wait_s, shared=True)
        except Busy as error:
            raise ConfigError(f"work_dir: {error}, or choose another --work-dir") from error


class Resumption:
    """The start of a run in its ``work_dir``.

    Args:
        cfg: the config, with its ``work_dir``.
        resume: see :func:`pretrain.engine.build.build_runner`.
    """

    def __init__(self, cfg: Config, resume: bool | str | Path) -> None:
        self._cfg, self._resume = cfg, resume
        self._content: dict[str, Any] | None = None
        self._path: Path | None = None

    def find(self) -> Path | None:
        """Returns the checkpoint to continue from, None to begin anew.

        Raises:
            ConfigError: the folder holds another run; a checkpoint that cannot be continued.
            FileNotFoundError: no such checkpoint.
        """
        latest = checkpoints.latest_checkpoint(self._cfg.work_dir)
        if self._resume not in (True, False, "auto"):
            return self._find_named(Path(self._resume), latest)
        if latest is None:
            return None
        if self._resume is False:
            raise ConfigError(
                f"work_dir={self._cfg.work_dir}: holds a run ({latest.name}); continue it with "
                "--resume or choose another --work-dir"
            )
        self._read(latest)
        saved = parse(self._content["meta"]["cfg"])
        changed = [key for key in RECIPE if saved.get(key) != self._cfg.get(key)]
        if changed:
            raise ConfigError(
                f"work_dir={self._cfg.work_dir}: holds a run with another {', '.join(changed)}; "
                f"choose another --work-dir, or name the checkpoint (--resume {latest}) to "
                "continue it with this config"
            )
        return latest

    def require_fit(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Raises a :class:`ConfigError` if the checkpoint is of another model or optimiser."""
        if self._content is None:
            return
        self._require_model(model)
        self._require_optimizer(optimizer)

    def _require_model(self, model: nn.Module) -> None:
        was = self._content["meta"].get("reference")
        now = model.describe().get("reference") if was else None
        if now != was:
            raise ConfigError(
                f"--resume {self._path}: the run was held to another reference network "
                f"({was['fingerprint']}, now {now and now['fingerprint']}): what it began with has "
                "changed; put the start weights back"
            )
        theirs, own = self._content["state_dict"], model.state_dict()
        wrong = [
            name for name in own if name not in theirs or theirs[name].shape != own[name].shape
        ]
        wrong += sorted(theirs.keys() - own.keys())
        if wrong:
            first = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
            raise ConfigError(
                f"--resume {self._path}: was written by another model, {len(wrong)} tensors "
                f"differ ({first}); {_OTHERWISE.format('model')}"
            )

    def _require_optimizer(self, optimizer: Optimizer) -> None:
        """Compares the type and the groups of parameters: state is kept by place in a group."""
        saved = parse(self._content["meta"]["cfg"]).get("optimizer", {}).get("type")
        theirs = [len(group["params"]) for group in self._content["optimizer"]["param_groups"]]
        own = [len(group["params"]) for group in optimizer.param_groups]
        named = self._cfg.optimizer.type
        if (saved, theirs) == (named, own):
            return
        raise ConfigError(
            f"--resume {self._path}: was written by another optimizer, {saved} of groups of "
            f"{theirs} parameters, here it is {named} of {own}; {_OTHERWISE.format('optimizer')}"
        )

    def _read(self, path: Path) -> None:
        """Reads a checkpoint and checks that it holds what a run needs to go on.

        Raises:
            ConfigError: it cannot be read, or holds weights only.
        """
        try:
            content = read_checkpoint(path)
        except ValueError as error:
            older = [p for _, p in checkpoints.saved_steps(path.parent) if p != path]
            cure = (
                f"remove it to continue from {older[-1].name}"
                if older
                else "remove it to start from scratch"
            )
            raise ConfigError(f"--resume: {error}. If it was cut short, {cure}") from error
        missing = [key for key in _NEEDED if key not in content]
        if missing:
            raise ConfigError(
                f"--resume {path}: holds no {', '.join(missing)}; name an iter_N.pth, or start a "
                "new run from these weights with load_from"
            )
        self._path, self._content = path, content

    def _find_named(self, named: Path, latest: Path | None) -> Path:
        """Returns the checkpoint ``named``, or the newest that this launch wrote since it began
        there.

        A process that is restarted or requeued runs the same command again, which names the same
        checkpoint.

        Raises:
            ConfigError: it holds weights only, or ``work_dir`` holds later checkpoints of something
                else: the newest by number is what is kept, pointed at and continued, so the two
                runs would be mixed.
        """
        origin = checkpoints.origin(named)
        if latest is not None and origin is not None:
            self._read(latest)
            if self._content["meta"].get("origin") == origin:
                return latest
        self._read(named)
        step = self._content["meta"]["iter"]
        later = [p.name for saved, p in checkpoints.saved_steps(self._cfg.work_dir) if saved > step]
        if later:
            raise ConfigError(
                f"work_dir={self._cfg.work_dir}: holds later checkpoints ({', '.join(later)}) "
                f"than --resume {named}, and the latest would be taken for this run's; continue "
                "it with --resume, remove them, or choose another --work-dir"
            )
        return named
