"""Which files of a folder are images, which of its folders are classes: one rule for every reader.

Names that begin with a dot are left out everywhere: they are what file managers and archives leave
beside images (``._x.png``, ``.DS_Store``). Symbolic links are followed, but never in a circle.
Names need not be valid UTF-8.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

#: What counts as an image in a folder, compared in lower case.
EXTENSIONS = tuple(".jpg .jpeg .png .webp .bmp .tif .tiff .gif .ppm .pgm .jp2 .avif".split())
#: Folders that hold a part of a data set, not a class of it: train, Val, validation, test_set,
#: val2017, ...
_PART = re.compile(
    r"(train|training|trainval|val|valid|validation|test|testing|dev|eval)([-_ ]?(set|\d{4}))?",
    re.I,
)


class SourceError(ValueError):
    """A source has nothing to read, or its description is wrong. The message names the path."""


class PartsError(SourceError):
    """The folders at the place of classes are parts of a data set.

    Attributes:
        root: Their folder.
        parts: Their names, sorted.
    """

    def __init__(self, message: str, root: Path, parts: tuple[str, ...]) -> None:
        super().__init__(message)
        self.root, self.parts = root, parts

    def __reduce__(self) -> tuple[type, tuple[str, Path, tuple[str, ...]]]:
        return type(self), (str(self), self.root, self.parts)


def expanded(path: str | Path) -> Path:
    """Returns the path with ``~`` replaced; a user that does not exist is left as written."""
    return Path(os.path.expanduser(path))  # Path.expanduser raises a RuntimeError for such a user


def require_folder(source: str, root: str | Path) -> Path:
    """Returns the folder; raises SourceError if there is none. ``source`` is the caller's name."""
    folder = expanded(root)
    if not folder.is_dir():
        state = _state(folder)
        raise SourceError(
            f"{source}: root={folder} {state} ({folder.absolute()}); legal is a folder of images"
        )
    return folder


def _state(path: Path) -> str:
    """Says why a path is no folder."""
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which leads nowhere"
    return "is a file" if path.exists() else "does not exist"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out by every reader: its own name begins with a dot."""
    return os.path.basename(name).startswith(".")


def is_image(name: str | Path, extensions: Sequence[str] = EXTENSIONS) -> bool:
    """Whether a file is an image by its name; ``extensions`` are lower case, with their dot."""
    return not is_hidden(str(name)) and str(name).lower().endswith(tuple(extensions))


def visible(paths: Iterable[Path]) -> list[Path]:
    """Returns the paths whose own names do not begin with a dot, sorted."""
    return sorted(path for path in paths if not is_hidden(path.name))


def image_extensions(source: str, extensions: Sequence[str]) -> tuple[str, ...]:
    """Returns ``extensions`` in lower case; raises SourceError unless they are a list of such."""
    wrong = isinstance(extensions, str) or not all(
        isinstance(e, str) and e.startswith(".") for e in extensions
    )
    if wrong or not extensions:
        raise SourceError(
            f"{source}: extensions={extensions!r}; legal is a list such as ['.jpg', '.png']"
        )
    return tuple(extension.lower() for extension in extensions)


def walk(folder: Path, exclude: Sequence[str] | str = ()) -> list[str]:
    """Lists all files below ``folder`` in no order, as paths relative to it.

    Links are followed, but never into a folder being walked; a link that leads to itself or nowhere
    counts as a file, so that reading it says what is wrong if its name is an image's.

    Args:
        exclude: Files and folders to leave out. A pattern without a slash is compared with every
            single name, one with a slash with the path from ``folder``; ``*`` and ``?`` stand for
            any characters, case counts.

    Raises:
        SourceError: a folder cannot be listed, or a pattern fits nothing.
    """
    patterns = _patterns(exclude)
    files: list[str] = []
    fitting: set[str] = set()
    waiting: list[tuple[str, str, frozenset[str]]] = [(os.path.realpath(folder), "", frozenset())]
    while waiting:
        path, prefix, above = waiting.pop()
        if path in above:
            continue
        for entry in _entries(path):
            relative = prefix + entry.name
            fits = [pattern for pattern in patterns if _fits(pattern, entry.name, relative)]
            fitting.update(fits)
            if fits:
                continue
            if _is_folder(entry):
                real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                waiting.append((real, relative + os.sep, above | {path}))
            else:
                files.append(relative)
    idle = [pattern for pattern in patterns if pattern not in fitting]
    if idle:
        raise SourceError(
            f"exclude={idle[0]!r} fits no file and no folder below {folder}; a name such as "
            "'masks' or '*_mask.png' matches at any depth, a path such as 'street/masks' from that "
            "folder on"
        )
    return files


def _entries(path: str) -> list[os.DirEntry]:
    """Returns what is visible in a folder."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise SourceError(f"folder {path} cannot be listed: {error.strerror or error}") from error


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _patterns(exclude: Sequence[str] | str) -> tuple[str, ...]:
    patterns = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    wrong = [p for p in patterns if not isinstance(p, str) or not p.strip("/")]
    if wrong:
        raise SourceError(
            f"exclude={exclude!r}: legal are names and paths such as ['masks', '*_mask.png']"
        )
    return tuple(pattern.strip("/") for pattern in patterns)


def _fits(pattern: str, name: str, relative: str) -> bool:
    return fnmatchcase(relative.replace(os.sep, "/") if "/" in pattern else name, pattern)


def list_images(
    source: str,
    folder: Path,
    *,
    extensions: Sequence[str] = EXTENSIONS,
    exclude: Sequence[str] | str = (),
    unit: str = "image",
    advice: str = "put the images there",
) -> list[str]:
    """Lists the images below a folder, at any depth, sorted, as paths relative to it.

    Args:
        source: The caller's name. unit: what an image is to it. advice: what to do if there is
            none. For messages.
        extensions: What counts as an image, case ignored.
        exclude: See :func:`walk`.

    Raises:
        SourceError: there is no image, or as :func:`walk`.
    """
    wanted = image_extensions(source, extensions)
    try:
        files = walk(folder, exclude)
    except SourceError as error:
        raise SourceError(f"{source}: {error}") from error
    names = sorted(name for name in files if is_image(name, wanted))
    if not names:
        others = sorted({os.path.splitext(name)[1].lower() or "no extension" for name in files})
        content = "no file at all"
        if files:
            content = f"{len(files)} other files ({', '.join(others[:8])})"
        raise SourceError(
            f"{source}: no {unit} below {folder}, which holds {content}; legal extensions are "
            f"{', '.join(wanted)}; {advice}, or set source.root or source.extensions"
        )
    return names


def class_folders(source: str, root: Path, names: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Returns the class folders among images, sorted, or none and the reason in words.

    The folders in ``root`` that hold images are the classes if there are at least two of them and
    no image lies in ``root`` itself.

    Args:
        source: The caller's name, for messages.
        names: Paths of the images relative to ``root``.

    Raises:
        PartsError: the folders are parts of a data set (train, val, test, …) that hold the classes.
    """
    in_root = [name for name in names if os.sep not in name]
    tops = sorted({name.split(os.sep, 1)[0] for name in names if os.sep in name})
    if len(tops) > 1 and not in_root:
        parts = _parts(tops, names)
        if parts:
            part = next((part for part in parts if part.lower().startswith("train")), parts[0])
            raise PartsError(
                f"{source}: {root} holds {quoted(parts)}: parts of a data set, not classes. Name "
                f"the part with source.root={root / part}, or set source.labels=False to take the "
                "images of all parts, unlabelled",
                root,
                parts,
            )
        return tuple(tops), ""
    if not tops:
        return (), f"all {len(in_root)} images lie in {root} itself, not in class folders"
    if in_root:
        return (), (
            f"{len(in_root)} of its images {'lie' if len(in_root) > 1 else 'lies'} in {root} "
            f"itself, not in a class folder, the first is {in_root[0]!r}; move or exclude it to "
            f"make classes of the {len(tops)} folders"
        )
    return (
        (),
        f"all images of {root} lie in one folder, {tops[0]!r}; name the folder that holds the "
        "class folders",
    )


def is_part(name: str) -> bool:
    """Whether a folder is named like a part of a data set: train, Val, valid, test, val2017, …"""
    return _PART.fullmatch(name) is not None


def _parts(tops: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Names of the folders that are parts and not classes.

    One class may well be called "train" (the vehicle): it holds its images itself and has no other
    part beside it.
    """
    parts = tuple(top for top in tops if is_part(top))
    flat = {name.partition(os.sep)[0] for name in names if name.count(os.sep) == 1}
    return parts if len(parts) > 1 or not flat.issuperset(parts) else ()


def quoted(names: Sequence[str]) -> str:
    """Returns the first four names, each in quotation marks, for messages."""
    return ", ".join(map(repr, names[:4])) + (", …" if len(names) > 4 else "")
