"""How many images each corruption does in a second of one thread's work."""

from __future__ import annotations

import time

import cv2
import numpy as np

from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt, generator
from pretrain.progress import Progress


def images_per_cpu_second(
    size: int = 224, repeats: int = 4, progress: Progress | None = None
) -> dict[str, float]:
    """Measures every corruption on a square of smoothed noise, all severities; a first run of each
    does not count.

    Args:
        size: Side in pixels.
        repeats: Images per severity.
        progress: Called as (phase, corruptions done, corruptions in all).

    Returns:
        Images per second of processor time, which hardly depends on what else the machine does;
        decoding and cropping are not in it.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(pixels, (0, 0), 2.0)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        speeds = {}
        for done, name in enumerate(CORRUPTIONS, start=1):
            seconds = 0.0
            for severity in SEVERITIES:
                for repeat in range(repeats + 1):
                    started = time.thread_time()
                    corrupt(image, name, severity, generator(repeat, "speed", name, severity))
                    seconds += time.thread_time() - started if repeat else 0
            speeds[name] = len(SEVERITIES) * repeats / seconds
            if progress:
                progress("corruptions", done, len(CORRUPTIONS))
        return speeds
    finally:
        cv2.setNumThreads(threads)
