"""Where the project's own files are, in a checkout and in an installed package."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """Returns the checkout that this code belongs to, None for an installed package."""
    return _PACKAGE.parent if (_PACKAGE.parent / "setup.py").is_file() else None


def version() -> str:
    """Returns the installed package's version, or that this is a checkout."""
    try:
        return metadata.version("pixelpretext")
    except metadata.PackageNotFoundError:
        return f"in the checkout {checkout()}"


def how_to_install(layer: str) -> str:
    """Returns the commands that install a layer (core, transfer) where this code is."""
    if checkout() is not None:
        return f"bash tools/setup.sh {layer}"
    if layer == "core":
        return "pip install --force-reinstall pixelpretext"
    return f"pip install 'pixelpretext[{layer}]', then pixelpretext build-mmcv"


def import_path() -> dict[str, str]:
    """Returns what an own process needs in its environment to import this very code anywhere."""
    known = filter(None, [os.environ.get("PYTHONPATH")])
    return {"PYTHONPATH": os.pathsep.join([str(_PACKAGE.parent), *known])}


def configs() -> Path:
    """Returns the folder of the configs that come with the project."""
    root = checkout()
    return _PACKAGE / "configs" if root is None else root / "configs"


def config_names(folder: str = "") -> list[str]:
    """Returns the names of the configs below a folder of :func:`configs`, bases left out."""
    root = configs() / folder
    paths = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(str(path.with_suffix("")) for path in paths if "_base_" not in path.parts)


def find_config(name: str | Path, *, folder: str = "") -> Path:
    """Returns the file of a config.

    Args:
        name: a path, which wins if it is there; or the name of a config that comes with the
            project, such as ``quick/scenes64``, with or without ``.py`` and ``configs/``.
        folder: where a name may also begin: ``finetune`` lets ``tiny`` be ``finetune/tiny``.

    Raises:
        FileNotFoundError: neither; says which one was probably meant.
    """
    path = Path(name)
    if path.is_file():
        return path
    inside = path.relative_to("configs") if path.parts[:1] == ("configs",) else path
    if inside.suffix != ".py":
        inside = inside.with_name(f"{inside.name}.py")
    if not path.is_absolute():
        for candidate in (configs() / inside, configs() / folder / inside):
            if candidate.is_file():
                return candidate
    others = [str(other) for other in path.parent.glob("*.py")]
    known = [*others, *config_names(folder), *config_names()]
    stems = {Path(other).stem: other for other in reversed(known)}
    near = get_close_matches(path.stem, stems, n=1)
    hint = f"did you mean {stems[near[0]]!r}?" if near else f"no file, and no name in {configs()}"
    raise FileNotFoundError(f"no config {str(name)!r}; {hint}")
