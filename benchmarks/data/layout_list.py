"""The list of layouts, for help texts and the documentation."""

from __future__ import annotations

from benchmarks.data.layout import Layout
from benchmarks.data.layouts import LAYOUTS, layouts_with
from benchmarks.data.nyu_labelled import FILE, SPLITS

_TITLES = {
    "masks": "masks of classes",
    "depth": "depth maps",
    "normals": "surface normals",
    "points": "keypoints",
    "sets": "sets of images in which one factor varies",
    "videos": "videos with masks of objects",
    "views": "views of objects with depth and cameras",
    "class_folders": "class folders",
}


def describe(labels: str) -> list[tuple[str, str, str, str]]:
    """Lists the layouts that have these labels.

    Args:
        labels: ``masks``, ``depth``, ``normals``, ``points``, ``sets``, ``videos``, ``views`` or
            ``class_folders``.

    Returns:
        (name, where images lie, where labels lie, what their raw values mean) of each; paths stand
        in backquotes.
    """
    return [_row(LAYOUTS[name], labels) for name in layouts_with(labels)]


def as_text() -> str:
    """All layouts by what their labels are, for a terminal."""
    lines, width = [], max(map(len, LAYOUTS)) + 1
    for labels, title in _TITLES.items():
        lines.append(f"{title}:")
        for name, *cells in describe(labels):
            lines.append(f"  {name:<{width}}" + "; ".join(filter(None, cells)).replace("`", ""))
    return "\n".join(lines)


def _row(layout: Layout, labels: str) -> tuple[str, str, str, str]:
    if labels == "class_folders":
        below = f"ROOT/{layout.class_folders}".rstrip("/")
        if layout.listing:
            lists = _path(layout, layout.listing)
            where = f"`{below}/<domain>/<class>`, parts by {lists} if these are there"
            return layout.name, where, "", "`domain=` names one"
        return layout.name, f"`{below}/{{train,val}}/<class>` or `{below}/<class>`", "", ""
    own = getattr(layout, labels)
    if labels in ("points", "views"):
        return layout.name, "", "", own.about
    if labels == "sets":
        return layout.name, f"`{own.files}`", "", own.about
    if layout.name == "sequence":
        return layout.name, f"`{layout.images}` folder", f"`{own.files}` folder", own.about
    if layout.name == "plain":
        where = f"`{layout.images}` folder, may hold `{{split}}`, or names with stars"
        return layout.name, where, f"`{own.files}` likewise", own.about
    if labels == "depth" and own.lists:
        lists = _path(layout, own.lists.files)
        return layout.name, f"named in {lists}", "named beside them", own.about
    if labels == "depth" and own.arrays:
        where = f"`images` in `{FILE}`, parts by `{SPLITS}`"
        return layout.name, where, f"`{own.arrays}` in the same", own.about
    images, files = _path(layout, layout.images), _path(layout, own.files)
    if layout.listing:
        images += f", names from {_path(layout, layout.listing)}"
    elsewhere = layout.masks.of_split if labels == "masks" else {}
    for part, path in elsewhere.items():
        files += f"; of the part `{part}` {_path(layout, path)}"
    return layout.name, images, files, own.about


def _path(layout: Layout, pattern: str) -> str:
    """A path of the layout with the names of both parts."""
    parts = f"{{{layout.split('train')},{layout.split('val')}}}"
    return f"`{pattern.replace('{split}', parts)}`"
