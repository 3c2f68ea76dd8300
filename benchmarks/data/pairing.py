"""Which image and label map files of a data set make pairs, and which of them a part takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.data.label_maps import ENDINGS
from benchmarks.data.layouts import Layout, folder_of, use_trainaug
from pretrain.data.folders import EXTENSIONS, is_hidden

Pair = tuple[Path, Path]
Exclude = str | Sequence[str]


@dataclass(frozen=True)
class Selection:
    """What a part takes of its images, in this order.

    Attributes:
        names: Text file with one image name per line: only these; None = all.
        exclude: Patterns of names to leave out.
        every: Every n-th of what is left, in order of name.
        limit: At most so many of these; None = no limit.
    """

    names: str | Path | None = None
    exclude: tuple[str, ...] = ()
    every: int = 1
    limit: int | None = None


def selections(
    *,
    every: Sequence[int],
    limit: Sequence[int | None],
    names: str | Sequence[str | Path | None],
    train_exclude: Exclude = (),
    val_exclude: Exclude = (),
) -> tuple[Selection, Selection]:
    """Checks the options of a reader and returns what train and val take.

    Args:
        every: (train, val) as in :class:`Selection`; ``limit`` and ``names`` likewise. ``names``
            may be one text, as the command line gives it: ``few.txt,None``.
        train_exclude: Patterns, a list of them or one text with commas; ``val_exclude`` likewise.

    Raises:
        ValueError: an option that is not as it must be, with an example.
    """
    every = _pair(
        "every",
        every,
        is_legal=_is_count,
        legal="two whole numbers from 1 on, for example every=1,3",
    )
    limit = _pair(
        "limit",
        limit,
        is_legal=_is_limit,
        legal="two whole numbers from 1 on or None, for example limit=500,None",
    )
    names = _pair(
        "names",
        names,
        is_legal=_is_list,
        legal="two text files or None, for example names=few.txt,None",
    )
    exclude = _patterns("train_exclude", train_exclude), _patterns("val_exclude", val_exclude)
    train, val = (Selection(*chosen) for chosen in zip(names, exclude, every, limit, strict=True))
    return train, val


def exclude_words(train: Selection, val: Selection) -> dict[str, list[str]]:
    """What of the patterns belongs to a protocol: nothing where there are none."""
    words = dict(train_exclude=list(train.exclude), val_exclude=list(val.exclude))
    return {name: patterns for name, patterns in words.items() if patterns}


def part_pairs(
    root: Path,
    layout: Layout,
    parts: tuple[str, str],
    *,
    chosen: tuple[Selection, Selection] = (Selection(), Selection()),
    kind: str = "masks",
) -> list[list[Pair]]:
    """Lists the (image, label map) files of the train and the val part.

    Args:
        root: Folder of the data set.
        layout: Where files lie in it.
        parts: (train, val) names of the parts.
        chosen: What each takes of its images.
        kind: What label maps are called in messages.

    Raises:
        FileNotFoundError, ValueError: as :class:`benchmarks.data.SegmentationFolder`.
    """
    for name, split in zip(("train", "val"), parts, strict=True):
        if not isinstance(split, str) or not split:
            raise ValueError(
                f"{name}={split!r}: must be the name of a part; a number needs quotes, "
                f"{name}='2012'"
            )
    return [
        find_pairs(root, use_trainaug(layout, split), split, selection=selection, kind=kind)
        for split, selection in zip(parts, chosen, strict=True)
    ]


def find_pairs(
    root: Path,
    layout: Layout,
    split: str,
    *,
    selection: Selection = Selection(),
    kind: str = "masks",
) -> list[Pair]:
    """Lists the (image, label map) files that one part takes, in order of name.

    What is chosen by ``names`` and ``exclude`` needs a label map, the rest need not have one.

    Raises:
        FileNotFoundError, ValueError: as :class:`benchmarks.data.SegmentationFolder`.
    """
    word = layout.split(split)
    images = _Files(
        root, layout.images, word=word, endings=EXTENSIONS, what=f"images of split {split!r}"
    )
    masks = _Files(
        root, layout.masks, word=word, endings=ENDINGS, what=f"{kind} of split {split!r}"
    )
    keys = images.files.keys() | masks.files.keys()
    if layout.listing:
        keys = _listed(root / layout.listing.format(split=word), images, masks)
    if selection.names is not None:
        keys &= _chosen(Path(selection.names), images, keys=keys, split=split)
    keys -= _excluded(selection.exclude, (images, masks), keys=keys, split=split)
    found, labels = images.single(keys), masks.single(keys)
    _check_pairing(found, labels, images=images, masks=masks, split=split, kind=kind[:-1])
    pairs = [(found[key], labels[key]) for key in sorted(found)]
    return pairs[:: selection.every][: selection.limit]


class _Files:
    """Files of one kind, by what the stars of their layout stand for (joined by slashes).

    Args:
        root: Folder of the data set.
        pattern: Where they lie, see :class:`Layout`.
        word: What stands for ``{split}``.
        endings: What their names may end in where the pattern does not say it.
        what: What they are called in messages.

    Raises:
        FileNotFoundError: no such folder.
    """

    def __init__(
        self, root: Path, pattern: str, *, word: str, endings: Sequence[str], what: str
    ) -> None:
        self.folder, levels = folder_of(root, pattern, word=word)
        self.pattern, self.what = pattern, what
        if not self.folder.is_dir():
            near = (
                sorted(p.name for p in self.folder.parent.iterdir())
                if self.folder.parent.is_dir()
                else []
            )
            there = f"; {self.folder.parent} holds {', '.join(near[:8])}" if near else ""
            raise FileNotFoundError(f"no folder {self.folder} with the {what}{there}")
        expression = _expression(levels, endings)
        self.files: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("/".join("*" * len(levels)))):
            relative = path.relative_to(self.folder)
            match = expression.fullmatch(relative.as_posix())
            if match and not any(map(is_hidden, relative.parts)):
                self.files.setdefault("/".join(match.groups()), []).append(path)

    def names(self) -> dict[str, set[str]]:
        """What a list may call a file -> keys: its key or the end of that, its path below the
        folder, with or without ending."""
        index: dict[str, set[str]] = {}
        for key, paths in self.files.items():
            words = {key, key.rpartition("/")[2]}
            for path in paths:
                relative = path.relative_to(self.folder)
                words |= {
                    path.name,
                    path.stem,
                    relative.as_posix(),
                    relative.with_suffix("").as_posix(),
                }
            for word in words:
                index.setdefault(word, set()).add(key)
        return index

    def single(self, keys: Iterable[str]) -> dict[str, Path]:
        """The one file of each key that has one.

        Raises:
            ValueError: a key has several.
        """
        chosen = {key: self.files[key] for key in keys if key in self.files}
        for _, paths in sorted(chosen.items()):
            if len(paths) > 1:
                pattern = self.pattern if "*" in self.pattern else f"{self.pattern.rstrip('/')}/*"
                raise ValueError(
                    f"{self.what}: {' and '.join(path.name for path in paths[:3])} in "
                    f"{paths[0].parent} have one name; delete one, or say which in the layout: "
                    f"{pattern}{paths[0].suffix}"
                )
        return {key: paths[0] for key, paths in chosen.items()}


def _expression(levels: Sequence[str], endings: Sequence[str]) -> re.Pattern[str]:
    """What a path below the folder must look like; a group for each star, which takes as little as
    it can.
    """
    pieces = [r"([^/]*?)".join(map(re.escape, level.split("*"))) for level in levels]
    if not levels[-1].lower().endswith(tuple(endings)):
        pieces[-1] += f"(?i:{'|'.join(map(re.escape, endings))})"
    return re.compile("/".join(pieces), re.DOTALL)


def _check_pairing(
    found: dict[str, Path],
    labels: dict[str, Path],
    *,
    images: _Files,
    masks: _Files,
    split: str,
    kind: str,
) -> None:
    """Raises ValueError unless every image has a label map and the reverse; ``kind`` is what a
    label map is called.
    """
    bare, orphans = sorted(found.keys() - labels.keys()), sorted(labels.keys() - found.keys())
    if bare or orphans:
        raise ValueError(
            f"split {split!r}: {len(found)} images in {images.folder} and {len(labels)} {kind}s "
            f"in {masks.folder} do not pair: {len(bare)} images without {kind} {bare[:3]}, "
            f"{len(orphans)} {kind}s without image {orphans[:3]}; "
            f"{_rule(images.pattern, masks.pattern, kind=kind)}. names= takes the images of a "
            "list, train_exclude= and val_exclude= leave some out"
        )
    if not found:
        below = [
            path.name
            for path in sorted(images.folder.iterdir())
            if path.is_dir() and not is_hidden(path.name)
        ]
        advice = (
            f", which has folders ({', '.join(below[:3])}): images=…/*/* looks into such"
            if below
            else ""
        )
        raise ValueError(f"split {split!r}: no image with a {kind} in {images.folder}{advice}")


def _rule(images: str, masks: str, *, kind: str) -> str:
    if "*" in images or "*" in masks:
        return f"an image {images} and its {kind} {masks} have the same at the place of each star"
    return f"a {kind} is called like its image, ending in one of {', '.join(ENDINGS)}"


def _listed(path: Path, images: _Files, masks: _Files) -> set[str]:
    """Keys of the files that a layout's own list names."""
    found, absent = _look_up(path, images, masks)
    if absent:
        raise ValueError(
            f"{path}: {len(absent)} listed names have no file in {images.folder}, the first: "
            f"{absent[:3]}"
        )
    return found


def _chosen(path: Path, images: _Files, *, keys: set[str], split: str) -> set[str]:
    """Keys of the images that a user's list names."""
    found, absent = _look_up(path, images)
    absent += sorted(found - keys)
    if absent or not found:
        raise ValueError(
            f"names={str(path)!r}: {len(absent)} of its {len(found) + len(absent)} names are "
            f"not in split {split!r}: {absent[:3]}; one stem (a file name without ending) per "
            "line, at least one"
        )
    return found


def _look_up(path: Path, *files: _Files) -> tuple[set[str], list[str]]:
    """Keys of the files that the lines of a list name, and the lines that name none.

    A line is a name, or a name and something behind a blank, comma or semicolon (a label, say). Of
    a path that leads nowhere its last part counts.

    Raises:
        FileNotFoundError: no such list.
        ValueError: no text, or a name that several files have.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no list {path} with the names of a split, one per line")
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise ValueError(f"{path} is no text in UTF-8: save it as such, one name per line")
    index: dict[str, set[str]] = {}
    for some in files:
        for name, keys in some.names().items():
            index.setdefault(name, set()).update(keys)
    found: set[str] = set()
    absent = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word = next((word for word in _words(line) if word in index), None)
        if word is None:
            absent.append(line)
        elif len(index[word]) > 1:
            raise ValueError(
                f"{path}: {word!r} may be any of {sorted(index[word])[:3]}: write its folder, too"
            )
        else:
            found |= index[word]
    return found, absent


def _words(line: str) -> list[str]:
    """What a line of a list may mean, the likeliest first."""
    quote = re.match(r"""(["'])(.*?)\1""", line)
    if quote:
        return [quote[2], quote[2].rpartition("/")[2]]
    words = [line, re.split(r"[,;\t]", line)[0].strip(), line.split()[0].strip(",;")]
    return words + [word.rpartition("/")[2] for word in words[1:]]


def _excluded(
    patterns: Sequence[str], kinds: Sequence[_Files], *, keys: set[str], split: str
) -> set[str]:
    """Keys of images or label maps that fit a pattern.

    Raises:
        ValueError: a pattern that fits none.
    """
    result: set[str] = set()
    for pattern in patterns:
        fitting: set[str] = set()
        for files in kinds:
            fitting |= {key for key in keys & files.files.keys() if _fits(pattern, files, key=key)}
        if not fitting:
            some = sorted(kinds[0].files.values())[:3]
            raise ValueError(
                f"exclude {pattern!r} fits no file of split {split!r}; there are "
                f"{len(kinds[0].files)}, for example "
                f"{', '.join(paths[0].name for paths in some)}; * stands for any characters"
            )
        result |= fitting
    return result


def _fits(pattern: str, files: _Files, *, key: str) -> bool:
    """Whether a pattern fits a file's name or stem or, if it has a slash, its path below the
    folder.
    """
    for path in files.files[key]:
        relative = path.relative_to(files.folder)
        words = (
            (relative.as_posix(), relative.with_suffix("").as_posix())
            if "/" in pattern
            else (path.name, path.stem)
        )
        if any(fnmatchcase(word, pattern) for word in words):
            return True
    return False


def _pair(name: str, value: Any, *, is_legal: Callable[[Any], bool], legal: str) -> tuple[Any, Any]:
    """Two values for train and val; a text is cut at its comma."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else value
    if isinstance(value, str):
        pair = tuple(
            None if word.strip() in ("", "None", "none") else word.strip()
            for word in value.split(",")
        )
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(is_legal, pair)):
        raise ValueError(f"{name}={value!r}: must be (train, val), {legal}")
    return pair


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_limit(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_list(value: Any) -> bool:
    return (
        value is None or isinstance(value, Path) or (isinstance(value, str) and value.strip() != "")
    )


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    """Patterns as a tuple; a text is cut at its commas."""
    patterns = tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value
    if not isinstance(patterns, (tuple, list)) or not all(
        isinstance(p, str) and p.strip() for p in patterns
    ):
        raise ValueError(
            f"{name}={value!r}: must be names with stars, for example {name}=0016E5_*,Seq05VD_*"
        )
    return tuple(patterns)
