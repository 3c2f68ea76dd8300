"""The labels of a recipe's data, all looked at before training: which files, asked for what; and
whether images that are scored lie in the training data, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from benchmarks.data.parts import check_parts
from benchmarks.data.transfer_folder import LabelMaps, check_coco, check_label_maps, check_voc
from benchmarks.transfer.recipe import SECTION, datasets_of
from pretrain.progress import Progress

_PARTS = ("train", "val", "test")
_READ = ("BaseSegDataset", "CocoDataset", "VOCDataset")  # kinds whose files are known here
_OUTSIDE = 255  # what mmsegmentation's losses and metric ignore


def check_labels(config: Config, progress: Progress | None = None) -> tuple[str, ...]:
    """Looks at every label of the data that a recipe names, then for images in two parts.

    Args:
        config: with data and classes in place; the libraries are imported.
        progress: called as (phase, done, total).

    Returns:
        Notes that are no mistakes.

    Raises:
        ValueError: see :mod:`benchmarks.data.transfer_folder`; the library cannot list the files;
            images of the training data are scored, unless the recipe has
            ``transfer.allow_shared``.
    """
    notes: list[str] = []
    done: list[tuple[list[Any], list[Path]]] = []
    images: dict[str, list[Path]] = {part: [] for part in _PARTS}
    scope = DefaultScope.overwrite_default_scope(config.default_scope)
    with scope, DATASETS.switch_scope_and_registry(None) as registry:
        for part, data in _parts(config):
            kind = registry.get(data["type"])
            if kind is None:
                raise ValueError(
                    f"{part}_dataloader: there is no data set of type {data['type']!r}"
                )
            where = _where(kind, data)
            files = next((files for known, files in done if known == where), None)
            if files is None:  # val and test are often one
                notes += _check(part, data, kind, progress=progress)
                files = _images(part, data, kind)
                done.append((where, files))
            images[part] += files
    allowed = config.get(SECTION, {}).get("allow_shared", False)
    return tuple(dict.fromkeys(notes + _check_shared(images, allow_shared=allowed)))


def _where(kind: type, data: dict[str, Any]) -> list[Any]:
    """What tells two data sets of a recipe apart."""
    keys = ("data_root", "ann_file", "data_prefix", "indices")
    return [kind, *map(str, map(data.get, keys))]


def _check_shared(images: dict[str, list[Path]], *, allow_shared: bool) -> list[str]:
    """Refuses images that are trained on and scored; returns a note where that is allowed."""
    scored = list(dict.fromkeys(images["val"] + images["test"]))
    shared = check_parts(
        images["train"],
        scored,
        allow_shared=allow_shared,
        cure="take them out of one part, or check the recipe's folders and lists",
        option="--cfg-options transfer.allow_shared=True",
    )
    return [f"{shared['shared_images']} images that are scored are trained on"] if shared else []


def _parts(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in _PARTS:
        for data in datasets_of(config, part):
            yield part, data


def _check(
    part: str, data: dict[str, Any], kind: type, *, progress: Progress | None
) -> tuple[str, ...]:
    """Checks one data set by its kind; of others than the three below nothing is known."""
    bases = _names(kind)
    if "BaseSegDataset" in bases:
        return check_label_maps(_label_maps(part, data, kind), progress)
    root = Path(data.get("data_root") or "")
    classes = (data.get("metainfo") or {}).get("classes")
    classes = classes or getattr(kind, "METAINFO", {}).get("classes", ())
    if "CocoDataset" in bases:
        if progress is not None:
            progress(f"check {part} boxes", 0, 1)
        images = root / data["data_prefix"].get("img", "")
        masks = any(step.get("with_mask") for step in data.get("pipeline", ()))
        return check_coco(
            root / data["ann_file"], images=images, classes=tuple(classes), part=part, masks=masks
        )
    if "VOCDataset" in bases:
        names = (root / data["ann_file"]).read_text(encoding="utf-8").split()
        folder = root / data["data_prefix"].get("sub_data_root", "")
        return check_voc(names, folder=folder, classes=tuple(classes), part=part, progress=progress)
    return ()


def _names(kind: type) -> set[str]:
    """Names of a class and all its bases."""
    return {base.__name__ for base in kind.__mro__}


def _images(part: str, data: dict[str, Any], kind: type) -> list[Path]:
    """The images that a data set gives; none of a kind that is not known."""
    if not _names(kind) & set(_READ):
        return []
    _, rows = _listed(part, data)
    return [Path(row["img_path"]) for row in rows]


def _listed(part: str, data: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """The library's data set and its rows, after all that it leaves out."""
    try:
        built = DATASETS.build(dict(data, pipeline=[]))
        return built, [built.get_data_info(index) for index in range(len(built))]
    except (AssertionError, KeyError, TypeError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.filename:
            reason = f"{error.filename}: {error.strerror}"
        raise ValueError(f"the {part} part cannot be listed: {reason}") from error


def _label_maps(part: str, data: dict[str, Any], kind: type) -> LabelMaps:
    """The files as mmsegmentation lists them, and the values that its reader gives a class."""
    built, rows = _listed(part, data)
    pairs = [(Path(row["img_path"]), Path(row["seg_map_path"])) for row in rows]
    # With a choice among the data set's own classes, masks keep the numbers of all of them.
    names = kind.METAINFO["classes"] if built.label_map is not None else built.metainfo["classes"]
    first = int(bool(built.reduce_zero_label))
    reduced = (0,) if built.reduce_zero_label else ()
    outside = () if first + len(names) > _OUTSIDE else (_OUTSIDE,)
    return LabelMaps(part, pairs, tuple(names), first, (*reduced, *outside))
