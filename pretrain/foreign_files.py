"""What a file is that was given as a checkpoint and is none, judged by its bytes alone."""

from __future__ import annotations

import html
import io
import itertools
import pickletools
import re
import struct
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch

_HEAD = 4096  # bytes that are looked at; enough for a page's title and a pointer's three lines
_AGAIN = "fetch it again and compare its size or checksum with the source"
# Beginnings of files and what to do with them.
_MAGIC = (
    (b"\x1f\x8b", "is compressed (gzip): unpack it first"),
    (b"BZh", "is compressed (bzip2): unpack it first"),
    (b"\xfd7zXZ", "is compressed (xz): unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd): unpack it first"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it first"),
    (b"Rar!", "is a rar archive: unpack it first"),
    (b"\x89HDF", "is an HDF5 file, as Keras writes: export its weights as a dict of torch tensors"),
    (b"\x93NUMPY", "is one numpy array (.npy), not a dict of tensors"),
    (b"GGUF", "is a GGUF file of a language model"),
    (b"%PDF", "is a PDF document"),
    (b"\x89PNG", "is a picture (PNG)"),
    (b"\xff\xd8\xff", "is a picture (JPEG)"),
)
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # what torch's format of before 1.6 begins with


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the header's length in eight bytes, then JSON."""
    with open(path, "rb") as opened:
        head = opened.read(9)
    return len(head) == 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32


def why_unreadable(path: Path, error: Exception) -> str:
    """Returns what a file is that torch's safe loader refused, and what to do.

    Args:
        path: An existing file.
        error: What the loader raised; quoted where the bytes explain nothing.

    Returns:
        The predicate of a sentence whose subject is the file.
    """
    with open(path, "rb") as opened:
        head = opened.read(_HEAD)
    size = path.stat().st_size
    if not head:
        return f"is empty (0 bytes): {_AGAIN}"
    if is_safetensors(path):
        return (
            "is a safetensors file that is cut short or damaged "
            f"({size:,} bytes, {_first_line(error)}): {_AGAIN}"
        )
    for magic, description in _MAGIC:
        if head.startswith(magic):
            return f"{description} ({size:,} bytes)"
    if head.startswith(b"PK"):
        return _of_archive(path, size, error)
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":  # pickle's protocols
        return _of_pickle(path, size, error)
    if tarfile.is_tarfile(path):
        return _of_tar(path)
    return (
        _of_text(head, size)
        or f"is not a checkpoint ({size:,} bytes, {_first_line(error)}): {_AGAIN}"
    )


def _of_text(head: bytes, size: int) -> str:
    """A pointer, a web page or another text; "" where the bytes are no text."""
    try:
        text = head.decode("utf-8").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError as error:
        if (
            error.start < len(head) - 4
        ):  # a character cut at the end of the head is no sign of binary data
            return ""
        text = head[: error.start].decode("utf-8").lstrip("\ufeff \t\r\n")
    if "\0" in text:
        return ""
    if text.startswith("version https://git-lfs"):
        real = re.search(r"^size (\d+)", text, re.MULTILINE)
        of = f" of {int(real[1]):,} bytes" if real else ""
        return f"is a git-lfs pointer to a file{of}: run 'git lfs pull' in its repository"
    if "/annex/objects/" in text[:200]:
        return "is a git-annex pointer to a file: run 'git annex get' in its repository"
    if re.match(r"<!doctype html|<html|<head|<\?xml|<!--", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        named = f", titled {' '.join(html.unescape(title[1]).split())[:80]!r}" if title else ""
        return (
            f"is a web page (HTML{named}), as servers send for a login, a confirmation or a "
            "missing file: download the file itself, through its direct link"
        )
    return f"is text ({size:,} bytes, begins {text[:60]!r}): fetch the file itself"


def _of_archive(path: Path, size: int, error: Exception) -> str:
    """A zip file: torch's own format, whole or cut, or another archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error):
        return f"is cut short: the end of the archive is missing after {size:,} bytes: {_AGAIN}"
    if any(name.endswith("constants.pkl") for name in names):
        return (
            "is a TorchScript module: save torch.jit.load(p).state_dict() instead, torch.save(…, q)"
        )
    if names and all(name.endswith(".npy") for name in names):
        return (
            f"is a numpy archive (.npz, {len(names)} arrays): save them as a dict of torch tensors"
        )
    if any(name.endswith("data.pkl") for name in names):
        return _of_objects(path, error)
    return _packed("zip", names)


def _of_pickle(path: Path, size: int, error: Exception) -> str:
    """A bare pickle: torch's format of before 1.6, whole or cut, or pickle's own."""
    if (
        isinstance(error, EOFError | struct.error)
        or "EOF" in str(error)
        or "truncated" in str(error)
    ):
        return f"is cut short: it ends after {size:,} bytes in the middle of a value: {_AGAIN}"
    if "magic number" in str(error) or not _is_old_torch(path):
        return (
            "is a plain pickle file, not torch.save's; if you trust it, "
            "torch.save(pickle.load(open(p, 'rb')), q) with its arrays as torch tensors"
        )
    return _of_objects(path, error)


def _of_tar(path: Path) -> str:
    with tarfile.open(path) as archive:
        names = archive.getnames()
    if {"tensors", "storages", "pickle"} <= set(names):
        return (
            "is in torch's tar format of 2017; if you trust it, "
            "torch.save(torch.load(p, weights_only=False), q)"
        )
    return _packed("tar", names)


def _packed(kind: str, names: list[str]) -> str:
    listed = ", ".join(names[:2]) + (", …" if len(names) > 2 else "")
    return f"is a {kind} archive ({listed}): unpack it and name the checkpoint in it"


def _of_objects(path: Path, error: Exception) -> str:
    """A whole file of ``torch.save`` with more than tensors: what, and where the weights are."""
    try:
        outline = _outline(_stream(path))
    except Exception:  # pickletools raises whatever damaged bytes make it raise
        return f"is damaged ({_first_line(error)}): {_AGAIN}"
    asked = re.search(r"the file asks for attribute .*", str(error))
    if asked:
        return f"is refused: {asked[0].splitlines()[0]}"
    if not re.search(
        r"GLOBAL|weights_only|allowed", str(error).rpartition("WeightsUnpickler error:")[2]
    ):
        return f"is damaged ({_first_line(error)}): {_AGAIN}"
    loaded = "torch.load(p, weights_only=False)"
    if outline.outer:
        return (
            f"is a whole pickled object ({outline.outer}), not a dict of tensors, and reading it "
            "would run code; if you trust it, save its weights in the project that wrote it: "
            f"torch.save({loaded}.state_dict(), q)"
        )
    named = _unsafe(path) or re.findall(r"GLOBAL ([\w.]+)", str(error)) or outline.classes
    if outline.weights:
        kept = f"{loaded}[{outline.weights!r}]"
    elif outline.module:
        kept = f"{loaded}[{outline.module!r}].state_dict()"
    else:
        kept = f"{{k: v for k, v in {loaded}.items() if torch.is_tensor(v)}}"
    return (
        f"holds other Python objects as well ({', '.join(named[:4])}), and reading them would run "
        f"code; if you trust it, save only its tensors: torch.save({kept}, q)"
    )


def _stream(path: Path) -> io.BufferedIOBase:
    """The pickle of what was saved, of either of torch's formats."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            return io.BytesIO(archive.read(name))
    stream = open(path, "rb")  # whoever reads it closes it
    for _ in range(3):  # magic number, protocol, system
        for _ in pickletools.genops(stream):
            pass
    return stream


@dataclass
class _Outline:
    """What the opcodes of a pickle tell.

    Attributes:
        outer: The class of the saved object; "" for a dict.
        classes: All classes and functions that it names.
        weights: The key under which its first dict of weights stands; "" where none is found.
        module: The key under which its first pickled module stands; "" where there is none.
    """

    outer: str = ""
    classes: list[str] = field(default_factory=list)
    weights: str = ""
    module: str = ""


def _outline(stream: io.BufferedIOBase) -> _Outline:
    """Reads the opcodes of a pickle without following them."""
    outline = _Outline()
    text = before_dict = before_class = (
        ""  # the last string, and the last ones before a dict and before a class
    )
    begun = weighed = False
    with stream:
        for opcode, argument, _ in pickletools.genops(stream):
            named = argument.replace(" ", ".") if opcode.name == "GLOBAL" else ""
            if named:
                outline.classes.append(named)
            if not begun and opcode.name in _OBJECTS:
                begun = True
                outline.outer = "" if named == "collections.OrderedDict" else named
            if opcode.name == "EMPTY_DICT" or named == "collections.OrderedDict":
                before_dict = text
            elif named:
                before_class = text
            elif isinstance(argument, str):
                text = argument
                if not weighed and _WEIGHT.search(text):  # later ones stand behind tensors' dicts
                    weighed, outline.weights = True, before_dict
                if not outline.module and text == "_parameters":
                    outline.module = before_class
    return outline


_OBJECTS = ("GLOBAL", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE")
_WEIGHT = re.compile(r"\.(weight|bias)$")


def _unsafe(path: Path) -> list[str]:
    """The classes of a file that torch's safe loader would not build."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # of a format it does not know
        return []


def _is_old_torch(path: Path) -> bool:
    with open(path, "rb") as opened:
        operations = itertools.islice(pickletools.genops(opened), 2)
        try:
            return _MAGIC_NUMBER in [argument for _, argument, _ in operations]
        except ValueError:  # no pickle either
            return False


def _first_line(error: Exception) -> str:
    """What was raised; of the safe loader's page of advice, the reason alone."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    line = reason.splitlines()[0].strip() if reason else ""
    return f"{type(error).__name__}: {line[:160]}" if line else type(error).__name__
