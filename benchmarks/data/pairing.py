"""Which image and label map files of a data set make pairs, and which of them a part takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.data.label_maps import ENDINGS
from benchmarks.data.layout import Layout, folder_of
from benchmarks.data.pair_lists import Pair, listed_pairs
from benchmarks.data.selection import BOTH, Parts, Selection
from pretrain.data.folders import EXTENSIONS, is_hidden, visible


def part_pairs(
    root: Path, layout: Layout, *, parts: Parts = BOTH, labels: str = "masks", word: str = "mask"
) -> list[list[Pair]]:
    """Lists the (image, label map) files of the train and the val part.

    Args:
        root: Folder of the data set.
        layout: Where files lie in it.
        parts: What the parts are called and what each takes.
        labels: ``masks``, ``depth`` or ``normals``, of the layout.
        word: What messages call a label map.

    Raises:
        FileNotFoundError, ValueError: as :class:`benchmarks.data.SegmentationFolder`.
    """
    lists = layout.depth.lists if labels == "depth" else None
    pairs = []
    for split, selection in zip(parts.names, parts.selections, strict=True):
        if lists is not None:
            own = layout.split(split)
            pairs.append(listed_pairs(root, lists, own, selection=selection, word=word))
            continue
        files = layout.label_files(labels, split)
        pairs.append(find_pairs(root, layout, split, files=files, selection=selection, word=word))
    return pairs


def find_pairs(
    root: Path, layout: Layout, split: str, *, files: str, selection: Selection, word: str
) -> list[Pair]:
    """Lists the (image, label map) files that one part takes, in order of name.

    What is chosen by ``names`` and ``exclude`` needs a label map, the rest need not have one.

    Args:
        root: Folder of the data set.
        layout: Where its images lie.
        split: Name of the part.
        files: Where its label maps lie, see :class:`Layout`.
        selection: What the part takes.
        word: What messages call a label map.

    Raises:
        FileNotFoundError, ValueError: as :class:`benchmarks.data.SegmentationFolder`.
    """
    own = layout.split(split)
    images = _Files(
        root, layout.images, split=own, endings=EXTENSIONS, what=f"images of split {split!r}"
    )
    masks = _Files(root, files, split=own, endings=ENDINGS, what=f"{word}s of split {split!r}")
    keys = images.files.keys() | masks.files.keys()
    if layout.listing:
        keys = _listed(root / layout.listing.format(split=own), images, masks)
    if selection.names is not None:
        keys &= _chosen(Path(selection.names), images, keys=keys, split=split)
    keys -= _excluded(selection.exclude, (images, masks), keys=keys, split=split)
    paths, labels = images.single(keys), masks.single(keys)
    _check_pairing(paths, labels, images=images, masks=masks, split=split, word=word)
    pairs = [(paths[key], labels[key]) for key in sorted(paths)]
    return pairs[:: selection.every][: selection.limit]


class _Files:
    """Files of one kind, by what the stars of their layout stand for (joined by slashes).

    Args:
        root: Folder of the data set.
        pattern: Where they lie, see :class:`Layout`.
        split: What stands for ``{split}``.
        endings: What their names may end in where the pattern does not say it.
        what: What they are called in messages.

    Raises:
        FileNotFoundError: no such folder.
    """

    def __init__(
        self, root: Path, pattern: str, *, split: str, endings: Sequence[str], what: str
    ) -> None:
        self.folder, levels = folder_of(root, pattern, word=split)
        self.pattern, self.what = pattern, what
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder {self.folder} with the {what}{_near(self.folder)}")
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
            names = {key, key.rpartition("/")[2]}
            for path in paths:
                relative = path.relative_to(self.folder)
                below = {relative.as_posix(), relative.with_suffix("").as_posix()}
                names |= {path.name, path.stem} | below
            for name in names:
                index.setdefault(name, set()).add(key)
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


def _near(folder: Path) -> str:
    """What lies where a folder was looked for, as the end of a message."""
    if not folder.parent.is_dir():
        return ""
    near = sorted(path.name for path in folder.parent.iterdir())
    return f"; {folder.parent} holds {', '.join(near[:8])}" if near else ""


def _expression(levels: Sequence[str], endings: Sequence[str]) -> re.Pattern[str]:
    """What a path below the folder must look like; a group for each star, which takes as little as
    it can.
    """
    pieces = [r"([^/]*?)".join(map(re.escape, level.split("*"))) for level in levels]
    if not levels[-1].lower().endswith(tuple(endings)):
        pieces[-1] += f"(?i:{'|'.join(map(re.escape, endings))})"
    return re.compile("/".join(pieces), re.DOTALL)


def _check_pairing(
    paths: dict[str, Path],
    labels: dict[str, Path],
    *,
    images: _Files,
    masks: _Files,
    split: str,
    word: str,
) -> None:
    """Raises ValueError unless every image has a label map and the reverse; ``word`` is what a
    label map is called.
    """
    bare, orphans = sorted(paths.keys() - labels.keys()), sorted(labels.keys() - paths.keys())
    if bare or orphans:
        raise ValueError(
            f"split {split!r}: {len(paths)} images in {images.folder} and {len(labels)} {word}s "
            f"in {masks.folder} do not pair: {len(bare)} images without {word} {bare[:3]}, "
            f"{len(orphans)} {word}s without image {orphans[:3]}; "
            f"{_rule(images.pattern, masks.pattern, word=word)}. names= takes the images of a "
            "list, train_exclude= and val_exclude= leave some out"
        )
    if not paths:
        below = [path.name for path in visible(images.folder.iterdir()) if path.is_dir()]
        advice = f", which has folders ({', '.join(below[:3])}): images=…/*/* looks into such"
        raise ValueError(
            f"split {split!r}: no image with a {word} in {images.folder}{advice if below else ''}"
        )


def _rule(images: str, masks: str, *, word: str) -> str:
    if "*" in images or "*" in masks:
        return f"an image {images} and its {word} {masks} have the same at the place of each star"
    return f"a {word} is called like its image, ending in one of {', '.join(ENDINGS)}"


def _listed(path: Path, images: _Files, masks: _Files) -> set[str]:
    """Keys of the files that a layout's own list names."""
    keys, absent = _look_up(path, images, masks)
    if absent:
        raise ValueError(
            f"{path}: {len(absent)} listed names have no file in {images.folder}, the first: "
            f"{absent[:3]}"
        )
    return keys


def _chosen(path: Path, images: _Files, *, keys: set[str], split: str) -> set[str]:
    """Keys of the images that a user's list names."""
    named, absent = _look_up(path, images)
    absent += sorted(named - keys)
    if absent or not named:
        raise ValueError(
            f"names={str(path)!r}: {len(absent)} of its {len(named) + len(absent)} names are "
            f"not in split {split!r}: {absent[:3]}; one stem (a file name without ending) per "
            "line, at least one"
        )
    return named


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
        raise ValueError(f"{path} is not text in UTF-8: save it as such, one name per line")
    index: dict[str, set[str]] = {}
    for some in files:
        for name, keys in some.names().items():
            index.setdefault(name, set()).update(keys)
    named: set[str] = set()
    absent = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name = next((name for name in _readings(line) if name in index), None)
        if name is None:
            absent.append(line)
        elif len(index[name]) > 1:
            raise ValueError(
                f"{path}: {name!r} may be any of {sorted(index[name])[:3]}: write its folder, too"
            )
        else:
            named |= index[name]
    return named, absent


def _readings(line: str) -> list[str]:
    """The names that a line of a list may mean, the likeliest first."""
    quote = re.match(r"""(["'])(.*?)\1""", line)
    if quote:
        return [quote[2], quote[2].rpartition("/")[2]]
    names = [line, re.split(r"[,;\t]", line)[0].strip(), line.split()[0].strip(",;")]
    return names + [name.rpartition("/")[2] for name in names[1:]]


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
        names = [path.name, path.stem]
        if "/" in pattern:
            names = [relative.as_posix(), relative.with_suffix("").as_posix()]
        if any(fnmatchcase(name, pattern) for name in names):
            return True
    return False
