"""The layouts of labelled data sets, one declaration each, and looking them up.

A data set is added by one more :func:`declare`: readers, command line, messages and the list of
layouts take it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.data.class_lists import (
    CAMVID,
    CITYSCAPES,
    COCO_GAPS,
    VOC,
    converted_coco,
    scene_classes,
)
from benchmarks.data.coco_coarse import COARSE
from benchmarks.data.correspondences.declarations import CORRESPONDENCES
from benchmarks.data.groups import frame_blocks
from benchmarks.data.layout import (
    DepthMaps,
    Layout,
    Masks,
    NormalMaps,
    PairLists,
    Sets,
    Videos,
    folder_of,
)
from benchmarks.data.layouts_plain import plain_layout
from benchmarks.data.sets.aloi import read_aloi
from benchmarks.data.sets.got10k import read_got10k
from benchmarks.data.sets.pascal3d import read_pascal3d
from benchmarks.data.sets.scenes import read_scene_sets
from pretrain.names import check_choice

LAYOUTS: dict[str, Layout] = {}


def declare(layout: Layout) -> Layout:
    """Makes a layout known by its name, and returns it.

    Raises:
        ValueError: the name is taken.
    """
    if layout.name in LAYOUTS:
        raise ValueError(f"layout {layout.name!r} is declared already")
    LAYOUTS[layout.name] = layout
    return layout


def layouts_with(labels: str) -> list[str]:
    """Names of the layouts that have ``masks``, ``depth``, ``normals``, ``points``, ``sets``,
    ``videos``, ``views`` or ``class_folders``.
    """
    return [name for name, layout in LAYOUTS.items() if layout.has(labels)]


def find_layout(
    root: Path, name: str, *, labels: str, options: Mapping[str, Any] | None = None
) -> tuple[Path, Layout]:
    """Looks up a layout and the folder it really starts at.

    Args:
        root: What the user named.
        name: One of the layouts that have these labels.
        labels: ``masks``, ``depth`` or ``normals``.
        options: Of ``plain``, see :func:`benchmarks.data.layouts_plain.plain_layout`; None stands
            for options that are not given.

    Raises:
        ValueError: unknown layout (with a suggestion), or options that are missing, do not belong
            to it or are illegal.
        FileNotFoundError: the root is missing.
    """
    given = {key: value for key, value in (options or {}).items() if value is not None}
    require_root(root)
    check_choice("layout", name, layouts_with(labels))
    if name == "plain":
        return root, plain_layout(labels, given)
    if given:
        raise ValueError(
            f"options {sorted(given)} belong to layout='plain', not to layout={name!r}"
        )
    layout = LAYOUTS[name]
    if labels == "masks" and layout.masks.complete is not None:
        layout = replace(layout, masks=layout.masks.complete(layout.masks, root))
    images, _ = folder_of(root, layout.images, word=layout.split("train"))
    if layout.inner and not images.is_dir() and (root / layout.inner).is_dir():
        root = root / layout.inner
    return root, layout


def require_root(root: Path) -> None:
    """Raises FileNotFoundError unless the folder of a data set is there."""
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r} is not a folder")


declare(
    Layout(
        "ade20k",
        images="images/{split}",
        masks=Masks(
            "annotations/{split}/*.png",
            values=tuple(range(1, 151)),
            ignore=(0,),
            about="1 to 150 are the classes, 0 counts nowhere",
        ),
        splits={"train": "training", "val": "validation"},
        inner="ADEChallengeData2016",
    )
)
declare(
    Layout(
        "voc",
        images="JPEGImages",
        masks=Masks(
            "SegmentationClass/*.png",
            values=tuple(range(21)),
            ignore=(255,),
            names=tuple(VOC.split()),
            of_split={"trainaug": "SegmentationClassAug/*.png"},
            about="0 to 20, 255 counts nowhere",
        ),
        inner="VOCdevkit/VOC2012",
        listing="ImageSets/Segmentation/{split}.txt",
    )
)
_COCO = declare(
    Layout(
        "coco-stuff",
        images="images/{split}",
        masks=Masks(
            "annotations/{split}/*.png",
            values=tuple(value for value in range(182) if value not in COCO_GAPS),
            ignore=(255,),
            complete=converted_coco,
            about="171 classes out of 182 numbers, or 0 to 170 in the converted files "
            "`*_labelTrainIds.png` if these are there; 255 counts nowhere",
        ),
        splits={"train": "train2017", "val": "val2017"},
    )
)
_COARSE_COCO = replace(
    _COCO.masks,
    values=tuple(range(182)),
    classes=COARSE,
    about="the files of `coco-stuff`, of whose categories several make one of 27 classes",
)
declare(replace(_COCO, name="coco-stuff-27", masks=_COARSE_COCO))
declare(
    Layout(
        "camvid",
        images="{split}",
        masks=Masks(
            "{split}annot/*.png",
            values=tuple(range(11)),
            ignore=(11,),
            names=tuple(CAMVID.split()),
            about="0 to 10, 11 counts nowhere",
        ),
        inner="seg_camvid",
        groups=frame_blocks,
    )
)
declare(
    Layout(
        "cityscapes",
        images="leftImg8bit/{split}/*/*_leftImg8bit",
        masks=Masks(
            "gtFine/{split}/*/*_gtFine_labelIds.png",
            values=tuple(CITYSCAPES),
            ignore=tuple(value for value in (*range(34), 255) if value not in CITYSCAPES),
            names=tuple(CITYSCAPES.values()),
            about="the 19 evaluated ones of the numbers 0 to 33, in the order of the train "
            "numbers; all others and 255 count nowhere",
        ),
    )
)
declare(
    Layout(
        "scenes",
        images="images/{split}",
        masks=Masks(
            "annotations/{split}/*.png",
            ignore=(0,),
            complete=scene_classes,
            about="1 to C, names from `scenes.json`, 0 counts nowhere",
        ),
        depth=DepthMaps("depth/{split}/*.png", about="millimetres"),
        sets=Sets(
            "factors/FACTOR/CLASS/set_NUMBER_STEP.jpg, factors/factors.csv",
            read=read_scene_sets,
            side=96,
            about="one object of a class, while its occlusion, its viewpoint, the direction or the "
            "colour of the light, or the instance varies",
        ),
        class_folders="crops",
    )
)
declare(
    Layout(
        "plain",  # by options; here stand their names
        images="images=",
        masks=Masks(
            "masks=",
            about="`classes=`, optionally `first=` (value of class 0), or `values=`; optionally "
            "`ignore=`",
        ),
        depth=DepthMaps("depth=", about="millimetres or metres, or `scale=` values per metre"),
        normals=NormalMaps(
            "normals=", about="8-bit RGB: each component is 2v/255 − 1; (0, 0, 0) is not known"
        ),
    )
)
declare(
    Layout(
        "nyu",
        depth=DepthMaps(
            "",
            scale=1000,
            lists=PairLists(
                "nyu_{split}.txt",
                images=("", "sync", "official_splits/test"),
                labels=("", "sync", "official_splits/test"),
            ),
            about="millimetres in 16 bits; published: 24,231 train and 654 test images",
        ),
        splits={"val": "test"},
    )
)
declare(
    Layout(
        "nyu-labelled",
        depth=DepthMaps(
            "",
            scale=1,
            arrays="rawDepths",
            about="metres as measured, holes are 0; published: 795 train and 654 test images",
        ),
        splits={"val": "test"},
    )
)
declare(
    Layout(
        "nyu-labelled-filled",
        depth=DepthMaps(
            "",
            scale=1,
            arrays="depths",
            about="metres, holes filled in; published: 795 train and 654 test images",
        ),
        splits={"val": "test"},
    )
)
declare(
    Layout(
        "kitti-eigen",
        depth=DepthMaps(
            "",
            scale=256,
            lists=PairLists(
                "kitti_eigen_{split}.txt", images=("", "input"), labels=("", "gt_depth")
            ),
            about="256 values per metre in 16 bits; published: 23,158 train images and 652 of 697 "
            "test images that have depth",
        ),
        splits={"val": "test"},
    )
)
for _layout in CORRESPONDENCES:
    declare(_layout)
declare(
    Layout(
        "got10k",
        sets=Sets(
            "VIDEO/NUMBER.jpg, VIDEO/groundtruth.txt and list.txt of the train part",
            read=read_got10k,
            side=128,
            about="the object of a video, one frame of each level of cover, cut out by its box; "
            "class: the video's object_class",
        ),
    )
)
declare(
    Layout(
        "aloi",
        sets=Sets(
            "{view,ill,col}/OBJECT/*.png",
            read=read_aloi,
            side=128,
            about="an object from all sides, under all lamps, or in light of all colours; class: "
            "the object",
        ),
    )
)
declare(
    Layout(
        "pascal3d",
        sets=Sets(
            "Images/CLASS_{imagenet,pascal}/* and Annotations/CLASS_{imagenet,pascal}/*.mat",
            read=read_pascal3d,
            side=224,
            about="objects of one class seen from the same side (instance) or from six sides "
            "(instance_viewpoint), cut out by their boxes",
        ),
    )
)
declare(
    Layout(
        "davis2017",
        images="JPEGImages/480p",
        videos=Videos(
            "Annotations/480p",
            about="a folder per sequence; numbers of objects, 255 is background",
        ),
        inner="DAVIS",
        listing="ImageSets/2017/{split}.txt",
    )
)
declare(
    Layout(
        "sequence",  # by options; here stand their names
        images="frames=",
        videos=Videos(
            "masks=",
            about="one video; numbers of objects, 255 is background; `binary=True`: one object of "
            "all values above 0",
        ),
    )
)
declare(Layout("classes", class_folders=""))
declare(Layout("domains", class_folders="", listing="<domain>_{split}.txt", splits={"val": "test"}))
