"""What a fine-tuning depends on beside network and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.core.benchmark import in_subject, shown_as, speed_only
from pretrain.places import find_config


@dataclass(frozen=True)
class Settings:
    """Everything the result depends on, apart from data and network; augmentation and schedule
    stand in the recipe.
    """

    recipe: str = "tiny"  # name of a file in configs/finetune, or a path
    # of the recipe, by dotted key: {"schedule.epochs": 50}
    options: Mapping[str, Any] = shown_as("recipe", default_factory=dict)
    # share of each class's training images whose labels are used
    fraction: float = shown_as("labels", default=1.0)
    fraction_seed: int = shown_as("labels", default=0)  # of that choice
    labels: str | None = None  # a list of the labelled images instead of a share
    tuning_seed: int = in_subject(0)  # of head, order of images and augmentation
    batch_size: int = speed_only(64)  # images evaluated at once
    work_dir: str | None = speed_only(None)  # where checkpoints stay; None: they do not

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(
                f"fraction={self.fraction!r}: must be above 0 and at most 1 (1 % is 0.01)"
            )
        if self.labels is not None and self.fraction != 1:
            raise ValueError(
                f"fraction={self.fraction} and labels={self.labels!r}: give one of the two"
            )
        for name, least in (("fraction_seed", 0), ("tuning_seed", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least {least}")
        self.path  # noqa: B018 — an unknown recipe is an error now

    @property
    def path(self) -> Path:
        """The recipe's file.

        Raises:
            ValueError: no such recipe; says which one was probably meant.
        """
        try:
            return find_config(self.recipe, folder="finetune")
        except FileNotFoundError as error:
            raise ValueError(f"recipe: {error}") from None
