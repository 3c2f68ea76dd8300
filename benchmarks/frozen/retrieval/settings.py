"""The protocol of dense retrieval, one commented line per number."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.benchmark import added, speed_only
from benchmarks.core.neighbours import BACKENDS
from pretrain.names import check_choice

# Quirks of the open re-implementation, each by name; docs/retrieval.md says what each does and
# which give its numbers.
COMPAT = (
    "hungarian",
    "ignore-is-class-0",
    "ignored-is-a-class",
    "blue-std-0.255",
    "crop-scale-2",
    "absent-is-zero",
)


@dataclass(frozen=True)
class MemorySettings:
    """How the memory is filled and asked: every number that labels from it depend on, apart from
    data and network.

    The defaults are the full protocol; ``memory_size=102_400, passes=1, augment=False`` is a quick
    one.
    """

    # (H, W) input in pixels, aspect ratio not kept; 504 or 518 for patches of 14
    size: tuple[int, int] = (512, 512)
    neighbours: int = 30  # k, clamped to the memory's size
    temperature: float = 0.02  # β, on cosines
    # M: memory_size // (images · passes) patches of each image; None = all
    memory_size: int | None = 10_240_000
    passes: int = 2  # E: how often the train set is encoded, each time augmented anew
    # random resized crop of area 0.5-1, ratio 3/4-4/3; colour jitter 0.1, p = 0.5; no flip
    augment: bool = True
    seed: int = 0  # of crops, jitter and the choice of patches
    backend: str = "auto"  # auto, torch, faiss-cpu, faiss-gpu: the same neighbours up to ties
    dtype: str = "float32"  # of the keys; float16 halves the memory
    # names out of COMPAT: deviations, off unless one compares with numbers made so
    compat: tuple[str, ...] = ()
    batch_size: int = speed_only(32)  # images encoded at once
    placement: str = speed_only("replicate")  # of keys over processes: replicate, or shard

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        compat = self.compat.split(",") if isinstance(self.compat, str) else self.compat
        object.__setattr__(self, "compat", tuple(compat))
        legal = {
            "backend": BACKENDS,
            "dtype": ("float32", "float16"),
            "placement": ("replicate", "shard"),
        }
        for name, values in legal.items():
            check_choice(name, getattr(self, name), values)
        for quirk in self.compat:
            check_choice("compat", quirk, COMPAT)
        if {"ignore-is-class-0", "ignored-is-a-class"} <= set(self.compat):
            raise ValueError(
                f"compat={self.compat}: ignored pixels are class 0 or a class of their own in the "
                "memory, not both; name one of 'ignore-is-class-0' and 'ignored-is-a-class'"
            )
        positive = dict(
            neighbours=self.neighbours,
            temperature=self.temperature,
            passes=self.passes,
            batch_size=self.batch_size,
            memory_size=1 if self.memory_size is None else self.memory_size,
            size=min(self.size),
        )
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        if self.passes > 1 and not self.augment:
            raise ValueError(
                f"passes={self.passes} without augment would store every patch {self.passes} "
                "times; use 1"
            )


@dataclass(frozen=True)
class Settings(MemorySettings):
    """Every number the result depends on, apart from data and network."""

    # (H, W) of the masks that are scored; None: those of ``size``
    mask_size: tuple[int, int] | None = added(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_size is not None:
            object.__setattr__(self, "mask_size", tuple(self.mask_size))
            if min(self.mask_size) < 1:
                raise ValueError(f"mask_size={self.mask_size} must be greater than 0")


def scored_classes(classes: int, compat: tuple[str, ...]) -> int:
    """Returns how many classes can be predicted and are scored.

    Args:
        classes: C of the data.
        compat: of the settings; with ``ignored-is-a-class`` there is one more, the last.
    """
    return classes + ("ignored-is-a-class" in compat)


def per_image_limit(memory_size: int | None, images: int, passes: int) -> int | None:
    """Patches each image may store per pass.

    Raises:
        ValueError: less than one.
    """
    if memory_size is None:
        return None
    if memory_size < images * passes:
        raise ValueError(
            f"memory_size={memory_size} leaves less than one patch for each of {images} images "
            f"x {passes} passes; it must be at least {images * passes}"
        )
    return memory_size // (images * passes)
