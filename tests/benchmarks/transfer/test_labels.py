"""Every recipe's labels are found as the libraries find them, and looked at before training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.transfer import run as transfer
from benchmarks.transfer.labels import check_labels
from benchmarks.transfer.recipe import place_data, read_recipe

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "transfer"
pytestmark = pytest.mark.usefixtures("transfer_libraries")


def placed(recipe: str, root: Path) -> Config:
    config, _ = read_recipe(FOLDER / f"{recipe}.py")
    place_data(config, root)
    return config


def test_recipes_of_label_maps(ade_root: Path, cityscapes_root: Path, voc_root: Path) -> None:
    for recipe, root in (
        ("ade20k_fcn_r50_80k", ade_root),
        ("cityscapes_fcn_r50_90k", cityscapes_root),
        ("voc12aug_fcn_r50_30k", voc_root / "VOC2012"),
    ):
        calls: list[tuple[str, int, int]] = []
        check_labels(placed(recipe, root), lambda *call, calls=calls: calls.append(call))
        counts = {phase: total for phase, _, total in calls}
        assert set(counts) == {"check train label maps", "check val label maps"}, recipe
        assert counts["check train label maps"] >= 3


def test_recipes_of_boxes(coco_root: Path, voc_root: Path) -> None:
    notes = check_labels(placed("coco_maskrcnn_r50_fpn_1x", coco_root))
    assert "no image of the train part has the classes bicycle, car, motorcycle" in notes[0]
    notes = check_labels(placed("voc0712_fasterrcnn_r50_c4_24k", voc_root))
    assert all("the classes aeroplane, bicycle" in note for note in notes) and len(notes) == 2


def test_a_label_map_that_training_would_meet_late(ade_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "ade"
    shutil.copytree(ade_root, root)
    last = sorted((root / "annotations" / "validation").glob("*.png"))[-1]
    values = np.array(Image.open(last))
    values[0, 0] = 151
    Image.fromarray(values).save(last)
    with pytest.raises(ValueError, match=rf"{last.name} holds the values \[151\].*150 classes"):
        check_labels(placed("ade20k_fcn_r50_80k", root))
    shutil.rmtree(root / "images" / "training")
    with pytest.raises(
        ValueError, match="the train part cannot be listed: .*images/training: No such file"
    ):
        check_labels(placed("ade20k_fcn_r50_80k", root))


def test_a_class_name_too_few_is_found_before_training(ade_root: Path, tmp_path: Path) -> None:
    root, work = tmp_path / "ade", tmp_path / "work"
    shutil.copytree(ade_root, root)
    (root / "classes.json").write_text(json.dumps([f"class {n}" for n in range(149)]))
    settings = transfer.Settings(str(FOLDER / "tiny" / "seg_fcn.py"), work_dir=str(work))
    with pytest.raises(ValueError, match=r"holds the values \[150\].*149 classes"):
        transfer.BENCHMARK.measure(
            FeatureExtractor.load("random:resnet18"), TransferFolder(root), settings
        )
    assert not list(work.rglob("*.pth"))
    (root / "classes.json").write_text(json.dumps([f"class {n}" for n in range(150)]))
    data = TransferFolder(root)
    fitted = transfer.fit(FeatureExtractor.load("random:resnet18"), data, settings)
    notes = transfer.look_at_labels(fitted, data)
    shutil.rmtree(root / "annotations")  # a second seed reads no label map again
    assert transfer.look_at_labels(fitted, data) == notes


@pytest.mark.parametrize("layout", ["label maps", "COCO", "VOC"])
def test_images_that_are_trained_on_and_scored_are_refused(
    layout: str, ade_root: Path, coco_root: Path, voc_root: Path, tmp_path: Path
) -> None:
    recipe, source, scored, trained = {
        "label maps": ("ade20k_fcn_r50_80k", ade_root, "images/validation", "images/training"),
        "COCO": ("coco_maskrcnn_r50_fpn_1x", coco_root, "val2017", "train2017"),
        "VOC": ("voc0712_fasterrcnn_r50_c4_24k", voc_root, "", ""),
    }[layout]
    root = tmp_path / "data"
    shutil.copytree(source, root)
    if layout == "VOC":  # the image of another list under a name of its own
        images = root / "VOC2007" / "JPEGImages"
        target, origin = images / "2008_000003.jpg", images / "2008_000001.jpg"
    else:
        target, origin = (sorted((root / folder).iterdir())[1] for folder in (scored, trained))
    shutil.copyfile(origin, target)
    config = placed(recipe, root)
    with pytest.raises(
        ValueError, match=rf"1 of the \d val images .*{target.name}.*allow_shared=True"
    ):
        check_labels(config)
    config.transfer.allow_shared = True
    assert "1 images that are scored are trained on" in check_labels(config)


def test_shared_images_that_are_allowed_stand_in_the_protocol(
    ade_root: Path, tmp_path: Path
) -> None:
    recipe, extractor = (
        str(FOLDER / "ade20k_fcn_r50_80k.py"),
        FeatureExtractor.load("random:resnet50"),
    )
    runs = [
        transfer.fit(
            extractor,
            TransferFolder(ade_root),
            transfer.Settings(recipe, options=options, work_dir=str(tmp_path)),
        )
        for options in ({}, {"transfer.allow_shared": True})
    ]
    assert "allow_shared" not in runs[0].protocol and runs[1].protocol["allow_shared"] is True
    assert runs[0].key != runs[1].key
    with pytest.raises(
        ValueError, match="transfer.allow_shared='yes' is of type str; must be bool"
    ):
        read_recipe(recipe, {"transfer.allow_shared": "yes"})
