"""Small recipes on prepared data: any network fits in, its maps and the data's classes reach every
layer.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.mm import libraries
from benchmarks.transfer import run as transfer

FOLDER = Path(__file__).parents[4] / "configs" / "transfer" / "tiny"
NETWORK = "random:resnet10t?stem_width=16&channels=32,32,32,32&seed=0"
DATA = {
    "seg_fcn": "camvid",
    "seg_upernet": "camvid",
    "seg_fcn_scenes": "scenes_segmentation",
    "det_fpn": "bccd",
    "mask_fpn": "scenes_detection",
}
Prepared = tuple[Path, dict[str, str]]


@pytest.fixture(autouse=True)
def _libraries() -> None:
    lacking = libraries.missing()
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed: bash tools/setup.sh transfer")
    libraries.require()


def settings(name: str, work_dir: Path) -> transfer.Settings:
    """Two steps of two images."""
    options = {"transfer.batch": 2, "train_cfg.max_iters": 2}
    return transfer.Settings(str(FOLDER / f"{name}.py"), options=options, work_dir=str(work_dir))


@pytest.mark.parametrize("name", DATA)
def test_channels_and_classes_are_filled_in(name: str, prepared: Prepared, tmp_path: Path) -> None:
    data = TransferFolder(prepared[0] / DATA[name])
    network = FeatureExtractor.load("random:resnet18?seed=0")
    model = transfer.fit(network, data, settings(name, tmp_path)).config.model
    if name.startswith("seg"):
        assert model.decode_head.num_classes == 11
        assert model.decode_head.in_channels == ([64, 128] if name == "seg_upernet" else 128)
    else:
        classes = 3 if name == "det_fpn" else 10
        assert (
            model.neck.in_channels == [64, 128] and model.roi_head.bbox_head.num_classes == classes
        )
        assert name == "det_fpn" or model.roi_head.mask_head.num_classes == classes
    assert model.backbone.name == "resnet18"


@pytest.mark.parametrize("name", ["seg_upernet", "seg_fcn_scenes", "det_fpn", "mask_fpn"])
def test_two_steps_and_an_evaluation(name: str, prepared: Prepared, tmp_path: Path) -> None:
    data = TransferFolder(prepared[0] / DATA[name])
    record = transfer.BENCHMARK.measure(
        FeatureExtractor.load(NETWORK), data, settings(name, tmp_path)
    )
    wanted = {"seg": {"mIoU", "pixel_accuracy"}, "det": {"box_AP", "box_AP50", "box_AP75"}}
    wanted["mask"] = wanted["det"] | {"mask_AP", "mask_AP50", "mask_AP75"}
    assert set(record.metrics) == wanted[name.split("_")[0]]
    assert all(
        0 <= m.value <= 100 and math.isfinite(m.value) and m.unit == "%"
        for m in record.metrics.values()
    )
    assert record.protocol["data"] == DATA[name] and record.protocol["iterations"] == 2
