"""The 27 coarse classes that COCO-Stuff's 182 categories belong to, as published probes of dense
features use them (FeatUp, JAFAR, STEGO).
"""

from __future__ import annotations

# (first category, coarse class) of the objects; each row reaches to the next one.
_OBJECTS = (
    (0, 9),
    (1, 11),
    (9, 8),
    (15, 7),
    (25, 6),
    (33, 10),
    (43, 5),
    (51, 2),
    (61, 3),
    (71, 0),
    (77, 1),
    (83, 4),
)
_FIRST_STUFF = 91
# The coarse class of each category of stuff, from _FIRST_STUFF to 181.
_STUFF = (
    "17 17 22 20 20 22 15 25 16 13 12 12 17 17 23 15 15 17 15 21 15 25 13 13 13 13 13 22 "
    "26 14 14 15 22 21 21 24 20 22 15 17 16 15 22 24 21 17 25 16 21 17 22 16 21 21 25 21 "
    "26 21 24 20 17 14 21 26 15 23 20 21 24 15 24 22 25 15 20 17 17 22 14 18 18 18 18 18 "
    "18 18 26 26 19 19 24 "
)


def _objects() -> list[int]:
    """The coarse class of each category of objects."""
    ends = [first for first, _ in _OBJECTS[1:]] + [_FIRST_STUFF]
    classes: list[int] = []
    for (first, coarse), end in zip(_OBJECTS, ends, strict=True):
        classes += [coarse] * (end - first)
    return classes


#: The coarse class of each of the 182 categories.
COARSE = (*_objects(), *map(int, _STUFF.split()))
