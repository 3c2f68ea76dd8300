"""The embedded data set "scenes": drawn pictures of textured, partly hidden objects."""

from .classes import CLASSES, GROUND, IGNORE, LABEL_NAMES, ObjectClass
from .sheet import write_sheet
from .write import write_scenes

__all__ = [
    "CLASSES",
    "GROUND",
    "IGNORE",
    "LABEL_NAMES",
    "ObjectClass",
    "write_scenes",
    "write_sheet",
]
