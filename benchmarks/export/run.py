"""Writes a network's weights in the format of another library, proves that they load there, and
says how.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.source import Difference, Export, Network, NoCounterpart, write_json
from benchmarks.export.to_detectron2 import to_detectron2
from benchmarks.export.to_graph import to_onnx, to_torchscript
from benchmarks.export.to_huggingface import to_huggingface
from benchmarks.export.to_mm import to_mmdet, to_mmseg
from benchmarks.export.to_timm import to_safetensors, to_timm
from benchmarks.export.to_torchvision import to_torchvision
from pretrain.files import atomic_path
from pretrain.names import suggestion
from pretrain.specs import parse_spec

# A new format is one function from a Network to an Export, and a line here.
FORMATS: dict[str, Callable[[Network], Export]] = {
    "timm": to_timm,
    "torchvision": to_torchvision,
    "mmdet": to_mmdet,
    "mmseg": to_mmseg,
    "detectron2": to_detectron2,
    "huggingface": to_huggingface,
    "safetensors": to_safetensors,
    "onnx": to_onnx,
    "torchscript": to_torchscript,
}

# of an export that is a folder; beside a file it has the file's name and .json
_PROVENANCE = "pixelpretext.json"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file or folder.
        others: further files of the same export (a feature pyramid).
        provenance: the JSON that says where the weights come from.
        export: what the format made of the network.
        verified: the measured difference of features, or why there is none.
    """

    path: Path
    others: tuple[Path, ...]
    provenance: Path
    export: Export
    verified: Difference | str

    def __str__(self) -> str:
        export = self.export
        lines = [f"{self.path}: {export.keys} keys, {export.renamed} renamed"]
        lines += map("changed: {}".format, export.changed)
        if export.left_out:
            lines.append(f"left out: {len(export.left_out)} keys ({_first(export.left_out)})")
        lines += map("also {}".format, self.others)
        lines += [f"load it: {export.line}", *export.notes]
        measured = isinstance(self.verified, Difference)
        lines.append(f"verified: {self.verified}" if measured else f"not verified: {self.verified}")
        return "\n".join(lines)


def export(
    spec: str,
    to: str,
    *,
    out: str | Path | None = None,
    weights: str = "online",
    overwrite: bool = False,
) -> Exported:
    """Exports a network.

    The output is loaded again by the other library, where that is installed, before it gets its
    name: a wrong file is never left behind.

    Args:
        spec: as ``FeatureExtractor.load`` takes it.
        to: a key of :data:`FORMATS`.
        out: file or folder to write; None: beside the checkpoint, ``NAME_FORMAT``, or in
            ``work_dirs/exports``.
        weights: ``online`` or ``target``, of our checkpoints.
        overwrite: replace an output that exists.

    Raises:
        ValueError: unknown format, a network that the library has no architecture for
            (:class:`NoCounterpart`, with the formats that do work), features that differ after
            loading.
        FileExistsError: the output exists, or is something that no export replaces.
        FileNotFoundError: no such checkpoint.
    """
    if to not in FORMATS:
        raise ValueError(
            f"--to {to!r} is not a format{suggestion(to, list(FORMATS))}; formats: "
            f"{', '.join(FORMATS)}"
        )
    if out is not None:
        _refuse_output([Path(out)], spec, overwrite)
    extractor = FeatureExtractor.load(spec, weights=weights)
    network = Network(extractor)
    result = _make(network, to)
    path = Path(out) if out is not None else _default_path(network, to, result.suffix)
    others = {name: path.with_name(path.stem + name) for name in result.others}
    provenance = path.with_name(path.name + ".json") if result.suffix else path / _PROVENANCE
    _refuse_output([path, *others.values(), provenance], spec, overwrite, folder=not result.suffix)
    with _atomic(path, folder=not result.suffix) as temporary:
        result.write(temporary)
        verified = result.check(temporary)
        if isinstance(verified, Difference):
            verified.require(f"{spec} to {to}", single=result.tolerance)
    for name, write in result.others.items():
        with atomic_path(others[name]) as temporary:
            write(temporary)
    places = {"{file}": repr(str(path))}
    for name, other in others.items():
        places[f"{{{name}}}"] = repr(str(other))
    result.line = _fill_in(result.line, places)
    result.notes = [_fill_in(note, places) for note in result.notes]
    write_json(
        provenance,
        network.provenance(to) | dict(load=result.line, notes=result.notes, verified=str(verified)),
    )
    return Exported(path, tuple(others.values()), provenance, result, verified)


def _make(network: Network, to: str) -> Export:
    """The format's export; where the library lacks the architecture the error says which formats do
    not.
    """
    try:
        return FORMATS[to](network)
    except NoCounterpart as error:
        works = []
        for name, function in FORMATS.items():
            try:
                function(network)
                works.append(name)
            except NoCounterpart:
                continue
        raise NoCounterpart(
            f"--to {to}: {error}. Formats that hold this network: {', '.join(works)}"
        ) from error


def _default_path(network: Network, to: str, suffix: str) -> Path:
    source, _ = parse_spec(network.extractor.spec)
    target = "_target" if network.extractor.weights == "target" else ""
    if source.startswith(("timm:", "random:")):
        return Path("work_dirs/exports") / f"{network.name}_{to}{suffix}"
    return Path(source).with_name(f"{Path(source).stem}{target}_{to}{suffix}")


def _refuse_output(
    paths: list[Path], spec: str, overwrite: bool, folder: bool | None = None
) -> None:
    """Refuses outputs that would replace something else than an earlier export of the same kind."""
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{', '.join(map(str, there))} exists; give another --out, or --overwrite"
        )
    source, _ = parse_spec(spec)
    for path in there:
        if Path(source).exists() and path.samefile(source):
            raise FileExistsError(f"--out {path} is the checkpoint itself; give another one")
        if path.is_dir() and not (path / _PROVENANCE).is_file():
            raise FileExistsError(
                f"--out {path} is a folder, but not one of our exports: it is not replaced"
            )
        if folder is not None and path is paths[0] and path.is_dir() != folder:
            raise FileExistsError(
                f"--out {path} is a {'file' if folder else 'folder'}; give another one"
            )


def _fill_in(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


@contextmanager
def _atomic(path: Path, *, folder: bool) -> Iterator[Path]:
    """:func:`pretrain.files.atomic_path`, for folders as well."""
    if not folder:
        with atomic_path(path) as temporary:
            yield temporary
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = temporary.with_suffix(".old")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)


def _first(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
