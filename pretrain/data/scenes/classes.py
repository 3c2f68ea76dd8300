"""The classes of "scenes": pairs of shape and texture; neither alone names a class."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = ("disc", "square", "triangle", "star", "cross")
TEXTURES = ("stripes", "checks", "dots", "bricks", "blobs")

IGNORE = 0  # label of mixed pixels and of objects of which too little is seen, as in ADE20K


@dataclass(frozen=True)
class ObjectClass:
    """One object class; ``label`` is its id in the label maps and its ``category_id`` in the COCO
    files (1..C).
    """

    label: int
    shape: str
    texture: str

    @property
    def name(self) -> str:
        """Folder and category name, for example ``disc_stripes``."""
        return f"{self.shape}_{self.texture}"


def _pair_up() -> tuple[ObjectClass, ...]:
    """Shape i with textures i and i + 1 (cyclic): every shape is in two classes, and so is every
    texture.
    """
    pairs = [
        (s, TEXTURES[(i + step) % len(TEXTURES)]) for i, s in enumerate(SHAPES) for step in (0, 1)
    ]
    return tuple(
        ObjectClass(label, shape, texture) for label, (shape, texture) in enumerate(pairs, start=1)
    )


CLASSES = _pair_up()
GROUND = len(CLASSES) + 1  # label of the ground
LABEL_NAMES = ("ignore", *(c.name for c in CLASSES), "ground")  # index = value in the label map
