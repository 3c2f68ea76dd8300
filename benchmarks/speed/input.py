"""How many images per second one core turns into two augmented 224-px views, against the stock
recipe.

One run measures all arms in turns, on the same files, in one thread each, and prints the median
over the rounds of images per CPU-second (decoding, crops, photometrics and normalisation included):
    stock     PIL decoding and torchvision.transforms.v2, as the papers' code composes it
    workers   our decoding and crops, photometrics with OpenCV
    device    our decoding and crops in workers, photometrics batched in torch, here on the CPU and
              in the same thread
All draw from the parameters of PixPro (configs/_base_/views_pixpro224.py).
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision.transforms.v2 as stock_transforms
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from PIL import Image
from torch import Tensor

from benchmarks.speed import measuring
from pretrain.command_line import Command, CommandLine, execute
from pretrain.data.decode import decode, probe
from pretrain.data.folders import is_image
from pretrain.places import find_config
from pretrain.structures import Batch, collate
from pretrain.views.preprocessor import IMAGENET_MEAN, IMAGENET_STD, ViewPreprocessor
from pretrain.views.recipe import ViewRecipe

RECIPE = "_base_/views_pixpro224"
BATCH = 32  # images collated and preprocessed together
EXAMPLES = """example: python -m benchmarks.speed.input --images FOLDER   # JPEGs of about 500 px
Run it on an idle machine."""


def generated_jpegs(count: int) -> list[bytes]:
    """Returns JPEGs of 375 × 500 pixels with the falling spectrum of photographs.

    Amplitude ~ frequency^-1.35: with it, differences between neighbours (0.13 of the standard
    deviation) and file sizes (about 70 kB) are those of photographs reduced to this size (0.16 and
    60 kB on 100 of COCO's).
    """
    rng = np.random.default_rng(0)
    fy, fx = np.fft.fftfreq(375)[:, None], np.fft.rfftfreq(500)[None]
    falloff = np.maximum(np.hypot(fy, fx), 1 / 500) ** -1.35
    files = []
    for _ in range(count):
        spectra = np.fft.rfft2(rng.standard_normal((3, 375, 500))) * falloff
        planes = np.moveaxis(np.fft.irfft2(spectra, (375, 500)), 0, -1)
        # mostly luminance, as in photographs
        image = planes @ np.array([[1, 1, 1], [0.3, 0, -0.3], [0.1, -0.2, 0.1]])
        image = np.clip(127 + 55 * (image - image.mean()) / image.std(), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def read_jpegs(folder: Path, count: int) -> list[bytes]:
    """Returns up to ``count`` JPEG files of a folder, in the order of their names.

    Raises:
        ValueError: the folder is missing or has no JPEG.
    """
    paths = sorted(p for p in folder.rglob("*") if is_image(p, (".jpg", ".jpeg")))[:count]
    if not paths:
        raise ValueError(
            f"--images {folder}: no .jpg files there (or no such folder); without it, generated "
            "images are used"
        )
    return [path.read_bytes() for path in paths]


def stock_arm() -> Callable[[list[bytes]], Tensor]:
    """The recipe as usually written: PIL images through torchvision v2, a fixed 23 × 23 blur."""
    t = stock_transforms
    common = [
        t.RandomResizedCrop(224, scale=(0.08, 1.0), antialias=True),
        t.RandomHorizontalFlip(),
        t.RandomApply([t.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
        t.RandomGrayscale(0.2),
    ]
    finish = [
        t.ToImage(),
        t.ToDtype(torch.float32, scale=True),
        t.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    blur = t.GaussianBlur(23, (0.1, 2.0))
    first = t.Compose([*common, blur, *finish])
    second = t.Compose([*common, t.RandomApply([blur], 0.1), t.RandomSolarize(128, 0.2), *finish])

    def run(files: list[bytes]) -> Tensor:
        views = []
        for data in files:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            views.append(torch.stack([first(image), second(image)]))
        return torch.stack(views)

    return run


def our_arm(photometrics: str) -> Callable[[list[bytes]], Tensor]:
    """Our pipeline: header, plan, decoding, crops, (photometrics,) collation, preprocessor."""
    recipe: ViewRecipe = TRANSFORMS.build(Config.fromfile(find_config(RECIPE)).views)
    preprocessor = ViewPreprocessor()
    rng = np.random.default_rng(0)

    def sample(data: bytes) -> Batch:
        plan = recipe.plan(*probe(data), rng)
        image = decode(data, plan.min_decode_size)
        views = recipe.render(image, plan, photometrics=photometrics == "workers")
        return Batch(views, None, torch.tensor(0))

    def run(files: list[bytes]) -> Tensor:
        batch = collate(list(map(sample, files)))
        return preprocessor(batch)["batch"].views["global"].images

    return run


def measure(
    arms: dict[str, Callable[[list[bytes]], Tensor]], files: list[bytes], rounds: int
) -> dict[str, list[float]]:
    """Returns images per CPU-second of every arm in every round; arms take turns, so that slow
    spells hit all.
    """
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds + 1):
        for name, arm in arms.items():
            start = time.process_time()
            for first in range(0, len(files), BATCH):
                shape = arm(files[first : first + BATCH]).shape
                assert shape[1:] == (2, 3, 224, 224), shape
            if turn:  # the first round warms up
                rates[name].append(len(files) / (time.process_time() - start))
    return rates


def table(rates: dict[str, list[float]], source: str) -> str:
    """Returns the Markdown table; ratios are medians of the rounds' ratios."""
    lines = [
        f"Two 224-px views, images per CPU-second of one thread, {source}; torch "
        f"{torch.__version__}, median of {len(rates['stock'])} rounds",
        "",
        "| pipeline | images/s | min … max | × stock |",
        "|---|---|---|---|",
    ]
    for name, values in rates.items():
        ratios = [v / s for v, s in zip(values, rates["stock"], strict=True)]
        ratio = statistics.median(ratios)
        spread = f"{min(values):.0f} … {max(values):.0f}"
        lines.append(f"| {name} | {statistics.median(values):.0f} | {spread} | {ratio:.1f} |")
    return "\n".join(lines)


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "--images", type=Path, help="folder of JPEG files; generated ones if left out"
    )
    parser.add_argument("--count", type=int, default=128, help="images per round at most")
    parser.add_argument("--rounds", type=int, default=5)


def run(*, images: Path | None, count: int, rounds: int) -> None:
    """Measures and prints the table."""
    # For all arms, the stock recipe included; runs on the CPU do the same.
    measuring.prepare(device="cpu", clock="cpu")
    cv2.setNumThreads(1)
    files = read_jpegs(images, count) if images else generated_jpegs(min(count, 64))
    arms = {
        "stock": stock_arm(),
        "ours, photometrics in workers": our_arm("workers"),
        "ours, photometrics on the device (CPU)": our_arm("device"),
    }
    kind = "files" if images else "generated"
    print(table(measure(arms, files, rounds), source(files, kind)))


def source(files: Sequence[bytes], kind: str) -> str:
    """What was read, in one line."""
    height, width = np.median(list(map(probe, files)), axis=0)
    kilobytes = np.mean(list(map(len, files))) / 1000
    return f"{len(files)} {kind} JPEGs, median {width:.0f}×{height:.0f} px, {kilobytes:.0f} kB"


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.input",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "input", sys.argv[1:]))
