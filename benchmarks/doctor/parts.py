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

from benchmarks.doctor import machine
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


@dataclass
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
        found = version(package)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # pkg_resources announces its end, which the pin takes care of
                importlib.import_module(module)
        except (
            Exception
        ) as error:  # a broken library raises OSError, RuntimeError, AttributeError, …
            text = f"{found or 'not installed'}: {type(error).__name__}: {error}".splitlines()[0]
            default = how_to_install("core")
            parts.append(Part(module, False, text, advice=cure if found and cure else default))
        else:
            parts.append(Part(module, True, found or "present"))
    return parts


def operators() -> Part:
    """The compiled operators of feature upsampling: which are used, and why the others are not."""
    from heads.upsamplers import library, operators  # noqa: F401 - the second one loads them

    gives = "fast feature upsampling (without them plain torch runs, same result)"
    found = library.status()
    states = [f"{device}: {why or 'in use'}" for device, why in found.items()]
    if "cuda" not in found:
        states.append("cuda: no GPU")
    advice = next((library.cure(why) for why in found.values() if why), "")
    return Part("compiled operators", not advice, "; ".join(states), gives, advice)


def nearest_neighbours() -> Part:
    """faiss and whether it is the CPU or the GPU build."""
    gives = "nearest neighbours of dense retrieval (without it torch does them)"
    try:
        import faiss
    except Exception as error:
        return Part("faiss", False, str(error).splitlines()[0], gives, "pip install faiss-cpu")
    if version("faiss-cpu") and any(
        version(name) for name in ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu13")
    ):
        return Part(
            "faiss",
            False,
            "both the CPU and a GPU package",
            gives,
            "they overwrite each other: uninstall both, then install one",
        )
    gpu = getattr(faiss, "get_num_gpus", lambda: 0)()
    return Part("faiss", True, f"{faiss.__version__}, {f'{gpu} GPU' if gpu else 'CPU'}", gives)


def transfer() -> list[Part]:
    """mmcv with its operators, mmsegmentation, mmdet and what they need: looked at, not imported
    (that takes 7 s).
    """
    from benchmarks.mm import mmcv_wheel

    gives = "fine-tuning on ADE20K and COCO (pretraining and frozen evaluation work without)"
    found = mmcv_wheel.installed()
    problem = mmcv_wheel.unusable(found)
    kind = ""
    if found is not None:
        devices = f"CUDA {' '.join(sorted(found.architectures))}" if found.architectures else "CPU"
        kind = f", {devices} operators" if found.tag else ", not compiled by this project"
    theirs = found is not None and found.complete and not found.tag
    advice = (
        f"pip uninstall mmcv mmcv-lite, then {mmcv_wheel.COMMAND}" if theirs else mmcv_wheel.COMMAND
    )
    detail = problem or f"{found.version}{kind}"
    parts = [Part("mmcv operators", not problem, detail, gives, advice if problem else "")]
    if not problem and found.tag:
        parts += _mmcv_on_gpus(found.architectures)
    for package, needs in (
        ("mmsegmentation", ("ftfy", "regex")),
        ("mmdet", ()),
        ("pycocotools", ()),
    ):
        lacking = [name for name in (package, *needs) if version(name) is None]
        detail = f"{', '.join(lacking)} not installed" if lacking else version(package)
        parts.append(
            Part(package, not lacking, detail, gives, mmcv_wheel.COMMAND if lacking else "")
        )
    return parts


def _mmcv_on_gpus(compiled: set[str]) -> list[Part]:
    """Whether mmcv's CUDA operators are those of the GPUs here; nothing to say without a GPU."""
    import torch

    from benchmarks.mm import mmcv_wheel

    there = {f"{device['capability']}".replace(".", "") for device in machine.accelerators()}
    if not there:
        return []
    advice = mmcv_wheel.COMMAND
    if not mmcv_wheel.architectures():
        advice = (
            f"install nvcc (CUDA {torch.version.cuda}) or set CUDA_HOME, unset "
            f"PIXELPRETEXT_CUDA=0, then {advice}"
        )
    done = there <= compiled
    return [
        Part(
            "mmcv CUDA operators",
            done,
            f"for {' '.join(sorted(compiled)) or 'the CPU only'}",
            "detection on the GPU",
            "" if done else advice,
        )
    ]


def trackers() -> list[Part]:
    """W&B and MLflow, which mmengine's visualisation back-ends write to."""
    return [
        Part(
            name,
            version(name) is not None,
            version(name) or "not installed",
            f"vis_backends = [dict(type='{backend}')]",
            "" if version(name) else f"pip install {name}",
        )
        for name, backend in (("wandb", "WandbVisBackend"), ("mlflow", "MLflowVisBackend"))
    ]


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
            found = check()
        except Exception as error:
            logging.getLogger(__name__).debug("%s failed", check.__name__, exc_info=True)
            found = Part(
                check.__name__.replace("_", " "),
                False,
                f"{type(error).__name__}: {error}".splitlines()[0],
            )
        parts += found if isinstance(found, list) else [found]
    return parts
