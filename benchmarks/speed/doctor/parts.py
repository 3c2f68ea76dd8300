"""Which parts of the software are there: the core's packages, the optional extras, and what each
lack costs.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from benchmarks.speed.doctor import machine
from pretrain.places import how_to_install

# Import name -> (package, what to do when it is installed and its import still fails).
CORE = {
    "torch": ("torch", f"reinstall it: {how_to_install('core')}"),
    "torchvision": ("torchvision", "torchvision must be the release made for the installed torch"),
    "timm": ("timm", ""),
    "pkg_resources": (
        "setuptools",
        "mmengine needs setuptools below 81: pip install 'setuptools<81'",
    ),
    "mmengine": ("mmengine", ""),
    "numpy": ("numpy", ""),
    "cv2": (
        "opencv-python",
        "OpenCV needs libGL and glib from the system (Debian: libgl1 libglib2.0-0)",
    ),
    "simplejpeg": ("simplejpeg", ""),
    "PIL": ("pillow", ""),
    "faiss": ("faiss-cpu", ""),
    "scipy": ("scipy", ""),
    "pandas": ("pandas", ""),
    "matplotlib": ("matplotlib", ""),
    "rich": ("rich", ""),
    "tensorboard": ("tensorboard", ""),
}

# Package of the transfer layer -> what it imports without asking for it.
TRANSFER = {"mmsegmentation": ("ftfy", "regex"), "mmdet": (), "pycocotools": ()}
FAISS_FOR_GPUS = ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu13")


@dataclass(frozen=True)
class Part:
    """One part of the software.

    Attributes:
        name: what it is called in the report.
        there: whether it can be used.
        detail: version, or what was found.
        gives: what one has from it.
        advice: what to do when it is missing; empty when it is there or cannot be had yet.
    """

    name: str
    there: bool
    detail: str
    gives: str = ""
    advice: str = ""

    def as_dict(self) -> dict[str, object]:
        """Returns the fields as a plain dictionary."""
        return asdict(self)


def version(package: str) -> str | None:
    """Returns the installed version of ``package``, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def core() -> list[Part]:
    """Imports every package of the core; a part that fails carries the error and the cure."""
    parts = []
    for module, (package, cure) in CORE.items():
        installed = version(package)
        try:
            with warnings.catch_warnings():
                # pkg_resources announces its end, which the pin takes care of.
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except (
            Exception
        ) as error:  # broken libraries raise OSError, RuntimeError, AttributeError, …
            problem = f"{installed or 'not installed'}: {type(error).__name__}: {error}"
            advice = cure if installed and cure else how_to_install("core")
            parts.append(Part(module, False, problem.splitlines()[0], advice=advice))
        else:
            parts.append(Part(module, True, installed or "present"))
    return parts


def operators() -> Part:
    """The compiled operators of feature upsampling: which are used, and why the others are not."""
    from heads.upsamplers import library, operators  # noqa: F401 - the second one loads them

    gives = "fast feature upsampling (without them plain torch runs, same result)"
    reasons = library.status()  # why those of a device are not used, empty where they are
    states = [f"{device}: {reason or 'in use'}" for device, reason in reasons.items()]
    if "cuda" not in reasons:
        states.append("cuda: no GPU")
    advice = next(map(library.cure, filter(None, reasons.values())), "")
    return Part("compiled operators", not advice, "; ".join(states), gives, advice)


def nearest_neighbours() -> Part:
    """faiss and whether it is the CPU or the GPU build."""
    gives = "nearest neighbours of dense retrieval (without it torch does them)"
    try:
        import faiss
    except Exception as error:
        return Part("faiss", False, str(error).splitlines()[0], gives, "pip install faiss-cpu")
    if version("faiss-cpu") and any(map(version, FAISS_FOR_GPUS)):
        return Part(
            "faiss",
            False,
            "both the CPU and a GPU package",
            gives,
            "they overwrite each other: uninstall both, then install one",
        )
    gpus = getattr(faiss, "get_num_gpus", lambda: 0)()
    return Part("faiss", True, f"{faiss.__version__}, {f'{gpus} GPU' if gpus else 'CPU'}", gives)


def transfer() -> list[Part]:
    """mmcv with its operators, mmsegmentation, mmdet and what they need: looked at, not imported
    (that takes 7 s).
    """
    from benchmarks.mm import mmcv_wheel

    gives = "fine-tuning on ADE20K and COCO (pretraining and frozen evaluation work without)"
    mmcv = mmcv_wheel.installed()
    problem = mmcv_wheel.unusable(mmcv)
    parts = [_mmcv(mmcv, problem, gives)]
    if not problem and mmcv.tag:
        parts += _mmcv_on_gpus(mmcv.architectures)
    for package, needs in TRANSFER.items():
        lacking = [name for name in (package, *needs) if version(name) is None]
        detail = f"{', '.join(lacking)} not installed" if lacking else version(package)
        advice = mmcv_wheel.COMMAND if lacking else ""
        parts.append(Part(package, not lacking, detail, gives, advice))
    return parts


def _mmcv(mmcv: Any, problem: str, gives: str) -> Part:
    """mmcv as it is installed (None: it is not), with what is in the way of using it."""
    from benchmarks.mm import mmcv_wheel

    if not problem:
        devices = f"CUDA {' '.join(sorted(mmcv.architectures))}" if mmcv.architectures else "CPU"
        kind = f"{devices} operators" if mmcv.tag else "not compiled by this project"
        return Part("mmcv operators", True, f"{mmcv.version}, {kind}", gives)
    advice = mmcv_wheel.COMMAND
    if mmcv is not None and mmcv.complete and not mmcv.tag:  # somebody else's
        advice = f"pip uninstall mmcv mmcv-lite, then {advice}"
    return Part("mmcv operators", False, problem, gives, advice)


def _mmcv_on_gpus(compiled: set[str]) -> list[Part]:
    """Whether mmcv's CUDA operators are those of the GPUs here; nothing to say without a GPU."""
    import torch

    from benchmarks.mm import mmcv_wheel

    gpus = {f"{device['capability']}".replace(".", "") for device in machine.accelerators()}
    if not gpus:
        return []
    advice = mmcv_wheel.COMMAND
    if not mmcv_wheel.architectures():
        advice = (
            f"install nvcc (CUDA {torch.version.cuda}) or set CUDA_HOME, unset "
            f"PIXELPRETEXT_CUDA=0, then {advice}"
        )
    detail = f"for {' '.join(sorted(compiled)) or 'the CPU only'}"
    fits = gpus <= compiled
    advice = "" if fits else advice
    return [Part("mmcv CUDA operators", fits, detail, "detection on the GPU", advice)]


def trackers() -> list[Part]:
    """W&B and MLflow, which mmengine's visualisation back-ends write to."""
    parts = []
    for name, backend in (("wandb", "WandbVisBackend"), ("mlflow", "MLflowVisBackend")):
        installed, gives = version(name), f"vis_backends = [dict(type='{backend}')]"
        advice = "" if installed else f"pip install {name}"
        parts.append(Part(name, bool(installed), installed or "not installed", gives, advice))
    return parts


def optional() -> list[Part]:
    """Returns every optional part; a check that itself fails is reported as a missing part, never
    raised.
    """
    checks: tuple[Callable[[], Part | list[Part]], ...] = (
        operators,
        nearest_neighbours,
        transfer,
        trackers,
    )
    parts: list[Part] = []
    for check in checks:
        try:
            result = check()
        except Exception as error:
            logging.getLogger(__name__).debug("%s failed", check.__name__, exc_info=True)
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            result = Part(check.__name__.replace("_", " "), False, problem)
        parts += result if isinstance(result, list) else [result]
    return parts
