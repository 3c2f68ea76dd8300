"""The layout ``plain``: the user says by options where files lie and what raw values mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.data.label_maps import MOST_CLASSES, RAW_VALUES
from benchmarks.data.layout import DepthMaps, Layout, Masks, NormalMaps

_ADVICE = (
    "if the values of this mask are the classes, write values={values} instead of classes= "
    "and first=; otherwise check classes=, first= and ignore="
)


def plain_layout(labels: str, options: Mapping[str, Any]) -> Layout:
    """Makes a layout of the options that were given.

    Args:
        labels: ``masks``, ``depth`` or ``normals``.
        options: ``images`` and ``masks``, ``depth`` or ``normals``: where files lie, see
            :class:`benchmarks.data.layout.Layout`. To masks belong ``classes`` (C), ``first`` (raw
            value of class 0), ``ignore`` (raw value or values that count nowhere) and ``values``
            (raw values of classes 0, 1, …, in place of ``classes`` and ``first``).

    Raises:
        ValueError: options that are missing, do not belong together or are illegal.
    """
    if labels == "masks":
        return _plain_masks(options)
    return _plain_maps(labels, options)


def _plain_maps(labels: str, options: Mapping[str, Any]) -> Layout:
    missing = sorted({"images", labels} - set(options))
    if missing:
        word = {"depth": "depth maps", "normals": "surface normals"}[labels]
        raise ValueError(f"layout='plain' of {word} needs images= and {labels}=; missing {missing}")
    images, files = _paths(**{name: options[name] for name in ("images", labels)})
    if labels == "depth":
        return Layout("plain", images, depth=DepthMaps(files))
    return Layout("plain", images, normals=NormalMaps(files))


def _plain_masks(options: Mapping[str, Any]) -> Layout:
    missing = {"images", "masks", "values" if "values" in options else "classes"} - set(options)
    if missing:
        raise ValueError(
            "layout='plain' needs images=, masks= and classes= or values=, and takes first= "
            f"and ignore=; missing {sorted(missing)}"
        )
    images, files = _paths(images=options["images"], masks=options["masks"])
    ignore, values = _whole_numbers("ignore", options.get("ignore", ())), _class_values(options)
    both = sorted(set(ignore) & set(values))
    if both:
        raise ValueError(
            f"ignore={options['ignore']!r}: {both[:5]} are the values of classes, too; which is it?"
        )
    masks = Masks(files, values, ignore, declared=True, advice=_ADVICE)
    return Layout("plain", images, masks=masks)


def _class_values(options: Mapping[str, Any]) -> tuple[int, ...]:
    """Raw values of the classes, from ``values`` or from ``classes`` and ``first``."""
    if "values" in options:
        values = _whole_numbers("values", options["values"])
        if "first" in options or options.get("classes", len(values)) != len(values):
            raise ValueError(
                f"values={options['values']!r} takes the place of classes= and first=: leave "
                "these out"
            )
        if len(set(values)) < len(values) or not values or len(values) > MOST_CLASSES:
            raise ValueError(
                f"values={options['values']!r}: must be different values, 1 to {MOST_CLASSES} "
                "of them"
            )
        return values
    classes, first = options["classes"], options.get("first", 0)
    if type(first) is not int or not 0 <= first < RAW_VALUES:
        raise ValueError(f"first={first!r}: must be a whole number from 0 to {RAW_VALUES - 1}")
    most = min(MOST_CLASSES, RAW_VALUES - first)
    if type(classes) is not int or not 1 <= classes <= most:
        raise ValueError(f"classes={classes!r}: must be a whole number from 1 to {most}")
    return tuple(range(first, first + classes))


def _whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """One whole number or several as a tuple; raises ValueError for others and for such that no
    mask can hold.
    """
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if any(type(number) is not int or not 0 <= number < RAW_VALUES for number in numbers):
        raise ValueError(
            f"{name}={value!r}: must be whole numbers from 0 to {RAW_VALUES - 1}, such as "
            f"{name}=0,255"
        )
    return numbers


def _paths(**options: Any) -> tuple[str, str]:
    """Two paths of a layout, checked: a folder, or stars in the names of files."""
    for name, path in options.items():
        if not isinstance(path, str) or not path.strip("/") or "**" in path:
            raise ValueError(
                f"{name}={path!r}: must be a folder such as '{name}/{{split}}', or names with "
                f"stars such as '{name}/{{split}}/*/rgb_*.png'"
            )
    (first, second), (one, other) = options.values(), options
    if (first.count("*") or 1) != (second.count("*") or 1):
        raise ValueError(
            f"{one}={first!r} and {other}={second!r}: need equally many stars, since what they "
            "stand for tells which files belong together"
        )
    return first, second
