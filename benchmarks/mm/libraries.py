"""mmcv, mmsegmentation and mmdet: imported once and made to work with today's torch, or missed in a
sentence.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from importlib import metadata

from mmengine.registry import Registry

from pretrain.places import how_to_install

_NEEDED = {"mmcv": "mmcv with operators", "mmseg": "mmsegmentation", "mmdet": "mmdet"}
_PACKAGES = {"mmcv": "mmcv", "mmdet": "mmdet", "mmseg": "mmsegmentation"}
_INSTALL = f"install the transfer layer: {how_to_install('transfer')}"


def missing() -> list[str]:
    """Returns the names of what transfer needs and Python cannot find; imports nothing."""
    return [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]


def models(library: str) -> Registry:
    """Returns the registry in which ``mmseg`` or ``mmdet`` keeps its networks.

    Raises:
        ValueError: as :func:`require`.
    """
    require()
    return importlib.import_module(f"{library}.registry").MODELS


def versions() -> dict[str, str]:
    """Returns the installed versions of mmcv, mmdet and mmseg, for records.

    They are the packages' own: ``mmcv.__version__`` may have been changed by :func:`require`.
    """
    return {module: metadata.version(package) for module, package in _PACKAGES.items()}


def require() -> None:
    """Imports the libraries (about 7 s, once) and registers their classes and ours.

    An mmcv 2.2, whose interface is the one that mmdet and mmsegmentation know, passes their check
    of its version.

    Raises:
        ValueError: a library is missing, or does not import; says which and what to run.
    """
    lacking = missing()
    if lacking:
        raise ValueError(f"transfer needs {', '.join(lacking)}; {_INSTALL}")
    # mmengine, mmcv and mmdet announce the end of pkg_resources, which the pin takes care of, at
    # every turn.
    warnings.filterwarnings("ignore", message=".*pkg_resources")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            accepted = _accept_newer_mmcv()
            for module in ("mmcv.ops", "mmseg.models", "mmdet.models", "benchmarks.mm.modules"):
                importlib.import_module(module)
    except (ImportError, OSError, AssertionError) as error:
        raise ValueError(
            f"transfer's libraries do not import ({type(error).__name__}: {str(error)[:200]}); "
            f"an mmcv compiled against another torch looks like this: {_INSTALL}"
        ) from error
    if accepted:
        warnings.warn(accepted, stacklevel=2)


def _accept_newer_mmcv() -> str:
    """Returns a warning about it, "" if nothing was to be done."""
    mmcv = importlib.import_module("mmcv")
    version = mmcv.__version__
    if not version.startswith("2.2"):
        return ""
    mmcv.__version__ = "2.1.0"
    return f"mmcv {version} is presented to mmdet and mmsegmentation as 2.1.0"
