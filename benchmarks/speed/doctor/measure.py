"""What the machine can do, in numbers: decoding, the input pipeline's need of workers, bf16."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

# From bytes to two 224-pixel views costs about 2.5 times the decoding alone: 305 against 780
# images/s, 500×375 JPEGs, one thread, simplejpeg + OpenCV with all photometrics. Crops alone leave
# more room, so the advice is on the safe side.
VIEWS_COST = 2.5
# Standard deviation of the grain in example_jpegs, in grey levels.
GRAIN = 32.0


def example_jpegs(
    count: int = 24, *, height: int = 375, width: int = 500, seed: int = 0
) -> list[bytes]:
    """Returns ``count`` JPEGs (quality 90) that cost as much to decode as photographs.

    The images are noise whose energy falls with frequency, as in nature; the grain is set so that a
    file has 0.6 bytes per pixel, as the photographs of COCO have, because decoding time follows the
    size of the file.
    """
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(count):
        image = (
            rng.normal(scale=GRAIN, size=(height, width, 1)).astype(np.float32).repeat(3, axis=2)
        )
        for octave in range(2, 8):
            cells = rng.normal(size=(2**octave * 3 // 4, 2**octave, 3)).astype(np.float32)
            image += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * 2.0 ** (
                8 - octave
            )
        done, data = cv2.imencode(
            ".jpg", np.clip(image + 128, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90]
        )
        if not done:
            raise RuntimeError("OpenCV cannot write JPEG: its build lacks libjpeg")
        files.append(data.tobytes())
    return files


def best_rate(action: Callable[[], int], *, seconds: float = 0.6) -> float:
    """Calls ``action`` (returns how many items it did) for about ``seconds``; returns the best
    items/s of one call.
    """
    action()  # warm-up: lazy imports, thread pools, caches
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        best = max(best, action() / (time.perf_counter() - start))
    return best


def decode_rate() -> float:
    """Returns decoded 500×375 JPEGs per second on one thread, through the function that training
    uses.
    """
    from pretrain.data.decode import decode

    files = example_jpegs()

    def decode_all() -> int:
        for data in files:
            decode(data)
        return len(files)

    return best_rate(decode_all)


def worker_advice(rate: float, cores: int, devices: int) -> str:
    """Says how many loader workers one process should have.

    Args:
        rate: decoded images/s of one core.
        cores: usable cores of the machine.
        devices: CUDA devices; one training process each.
    """
    per_core = rate / VIEWS_COST
    if devices == 0:
        workers = max(1, min(2, cores - 1))
        return (
            f"loader.workers = {workers}: one worker feeds about {per_core:.0f} images/s, more "
            "than a network on the CPU consumes; more workers only take its cores"
        )
    workers = max(1, (cores - devices) // devices)
    supply = workers * per_core
    return (
        f"loader.workers = {workers} per process: about {supply:.0f} images/s for each of "
        f"{devices} GPU; if 'data_wait' in the log stays above 5 %, more cores help, more "
        "workers do not"
    )


def bf16_speed_up() -> float:
    """Returns time in float32 / time in bfloat16 of a small convolution's forward and backward, on
    GPU or CPU.

    Takes about two seconds. The number is for one layer of 64 channels; whole networks gain less.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False).to(
        device, memory_format=torch.channels_last
    )
    images = torch.randn(16, 64, 32, 32, device=device).to(memory_format=torch.channels_last)

    def step(enabled: bool) -> int:
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            loss = layer(images).float().square().mean()
        loss.backward()
        layer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return 1

    ratio = best_rate(lambda: step(True), seconds=1.0) / best_rate(lambda: step(False), seconds=1.0)
    return ratio if math.isfinite(ratio) else 1.0
