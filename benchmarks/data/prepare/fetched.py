"""Data sets of presets that users fetch themselves, for their size or their terms: from where, what
to unpack, and whether what lies there is complete.

Each is called as its layout. A data set is added by one more row of ``FETCHED``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchvision.datasets.voc import DATASET_YEAR_DICT

from benchmarks.data.base import LabelledData
from benchmarks.data.depth import DepthFolder
from benchmarks.data.keypoints import KeypointPairs
from benchmarks.data.layouts import LAYOUTS
from benchmarks.data.segmentation import SegmentationFolder
from benchmarks.data.videos import VideoFolder
from benchmarks.data.view_pairs import ViewPairs
from pretrain.files import md5_of

_PF_PAGE = "https://www.di.ens.fr/willow/research/proposalflow/"
_PF_RIGHTS = "for research; cite Ham et al., CVPR 2016 and TPAMI 2018"
_NYU_PAGE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
_NYU_RIGHTS = "for research; cite Silberman et al., ECCV 2012"
_BTS = "https://github.com/cleinc/bts"
_VOC = DATASET_YEAR_DICT["2012"]


@dataclass(frozen=True)
class Fetched:
    """One data set.

    Attributes:
        page: from where.
        unpack: the archives, and what has to be done with them.
        rights: licence, or what its authors ask for.
        counts: what is published, as :func:`check_fetched` counts it; empty: we do not know.
        md5: of archives, by name, where their publisher or torchvision says it.
    """

    page: str
    unpack: str
    rights: str
    counts: Mapping[str, int] = field(default_factory=dict)
    md5: Mapping[str, str] = field(default_factory=dict)


_LABELLED_NYU = Fetched(
    page=_NYU_PAGE,
    unpack="nyu_depth_v2_labeled.mat (2.8 GB) and splits.mat, as they are",
    rights=_NYU_RIGHTS,
    counts={"train images": 795, "val images": 654},
)

FETCHED = {
    "ade20k": Fetched(
        page="http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
        unpack="ADEChallengeData2016.zip",
        rights="for research and teaching, not for commerce; cite Zhou et al., CVPR 2017",
        counts={"train images": 20_210, "val images": 2_000},
    ),
    "voc": Fetched(
        page=_VOC["url"],
        unpack=f"{_VOC['filename']}; for the part trainaug also SegmentationClassAug and its list",
        rights="photos by Flickr's terms; cite Everingham et al., IJCV 2010",
        counts={"train images": 1_464, "val images": 1_449},
        md5={_VOC["filename"]: _VOC["md5"]},
    ),
    "cityscapes": Fetched(
        page="https://www.cityscapes-dataset.com",
        unpack="leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (after a registration)",
        rights="not for commerce; cite Cordts et al., CVPR 2016",
        counts={"train images": 2_975, "val images": 500},
    ),
    "coco-stuff": Fetched(
        page="https://github.com/nightrome/cocostuff",
        unpack="train2017.zip and val2017.zip into images/, stuffthingmaps_trainval2017.zip into "
        "annotations/",
        rights="photos: Creative Commons, a licence each; cite Caesar et al., CVPR 2018",
        counts={"train images": 118_287, "val images": 5_000},
    ),
    "nyu": Fetched(
        page=_BTS,
        unpack="sync.zip, official_splits/test, nyu_train.txt and nyu_test.txt",
        rights=_NYU_RIGHTS,
        counts={"train images": 24_231, "val images": 654},
    ),
    "nyu-labelled": _LABELLED_NYU,
    "nyu-labelled-filled": _LABELLED_NYU,
    "kitti-eigen": Fetched(
        page=f"https://www.cvlibs.net/datasets/kitti (raw data, annotated depth); lists: {_BTS}",
        unpack="drives into input/, depth into gt_depth/, kitti_eigen_train.txt and _test.txt",
        rights="CC BY-NC-SA 3.0; cite Uhrig et al., 3DV 2017",
        counts={"train images": 23_158, "val images": 652},
    ),
    "spair": Fetched(
        page="http://cvlab.postech.ac.kr/research/SPair-71k/",
        unpack="SPair-71k.tar.gz",
        rights="for research; cite Min et al., 2019",
        counts={"pairs": 12_234},
    ),
    "pfpascal": Fetched(
        page=_PF_PAGE,
        unpack="PF-dataset-PASCAL.zip, and test_pairs_pf_pascal.csv of the list of pairs in it",
        rights=_PF_RIGHTS,
    ),
    "willow-list": Fetched(
        page=_PF_PAGE,
        unpack="PF-dataset.zip, and test_pairs.csv of the list of pairs in it",
        rights=_PF_RIGHTS,
    ),
    "ap10k": Fetched(
        page="https://github.com/AlexTheBad/AP-10K",
        unpack="ap-10k.zip",
        rights="CC BY 4.0; cite Yu et al., NeurIPS 2021",
    ),
    "navi": Fetched(
        page="https://github.com/google/navi",
        unpack="navi_v1.tar.gz",
        rights="CC BY 4.0; cite Jampani et al., NeurIPS 2023",
    ),
    "davis2017": Fetched(
        page="https://davischallenge.org/davis2017/code.html",
        unpack="DAVIS-2017-trainval-480p.zip",
        rights="see its page; cite Pont-Tuset et al., 2017",
        counts={"videos": 30},
    ),
}


def check_fetched(name: str, root: Path) -> dict[str, int]:
    """Reads what lies in a folder as benchmarks would, and returns what was counted.

    Archives that lie in the folder or beside it are compared with their published checksum.

    Args:
        name: of ``FETCHED``.
        root: the folder.

    Returns:
        word -> number: ``train images`` and ``val images``, ``pairs`` or ``videos``.

    Raises:
        FileNotFoundError: the folder is missing, and the message says what to fetch from where; or
            a file of it is.
        ValueError: it is not of the layout, incomplete, or an archive is broken.
    """
    own = FETCHED[name]
    fetch = f"fetch {own.unpack} from {own.page} (rights: {own.rights}) and unpack into {root}"
    for archive, digest in own.md5.items():
        for folder in (root, root.parent):
            _check_archive(folder / archive, digest)
    if not root.is_dir():
        raise FileNotFoundError(f"data set {name}: {root} is missing; {fetch}")
    reader = next(reader for reader in _COUNTS if LAYOUTS[name].has(reader.labels))
    counts = _COUNTS[reader](reader(root, name))
    lacking = [word for word, number in own.counts.items() if counts[word] != number]
    if lacking:
        found = ", ".join(f"{counts[word]:,} {word}" for word in lacking)
        known = ", ".join(f"{own.counts[word]:,} {word}" for word in lacking)
        raise ValueError(f"data set {name}: {root} holds {found}, published are {known}; {fetch}")
    return counts


def _images(data: SegmentationFolder | DepthFolder) -> dict[str, int]:
    return {"train images": len(data.train), "val images": len(data.val)}


def _pairs(data: KeypointPairs | ViewPairs) -> dict[str, int]:
    return {"pairs": len(data.pairs)}


def _videos(data: VideoFolder) -> dict[str, int]:
    return {"videos": len(data.videos)}


_COUNTS: dict[type[LabelledData], Callable[[Any], dict[str, int]]] = {
    SegmentationFolder: _images,
    DepthFolder: _images,
    KeypointPairs: _pairs,
    ViewPairs: _pairs,
    VideoFolder: _videos,
}


def _check_archive(path: Path, digest: str) -> None:
    if not path.is_file():
        return
    found = md5_of(path)
    if found != digest:
        raise ValueError(f"{path} has the MD5 {found}, the published one {digest}: fetch it again")
