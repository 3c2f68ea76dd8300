"""NYUv2's labelled set: made-up arrays behind a stand-in for h5py and, where that is installed, a
real file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from benchmarks.data import DepthFolder

IMAGES, FILE = 5, "nyu_depth_v2_labeled.mat"


def arrays_of() -> dict[str, np.ndarray]:
    """As HDF5 shows them: images (n, 3, W, H), depths (n, W, H); image i is grey i, and red in its
    first row; depth is metres i + 1, a hole in the raw ones.
    """
    images = np.arange(IMAGES, dtype=np.uint8)[:, None, None, None].repeat(3, 1)
    images = images.repeat(8, 2).repeat(6, 3)
    images[:, 0, :, 0] = 255
    depths = np.arange(1, IMAGES + 1, dtype=np.float32)[:, None, None].repeat(8, 1).repeat(6, 2)
    raw = depths.copy()
    raw[:, 2, 3] = 0
    return dict(images=images, depths=depths, rawDepths=raw)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    splits = dict(trainNdxs=np.array([[1], [3], [5]]), testNdxs=np.array([[2], [4]]))
    savemat(tmp_path / "splits.mat", splits)
    (tmp_path / FILE).write_bytes(b"stands for HDF5")
    return tmp_path


@pytest.fixture
def content(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What the stand-in for h5py finds in the file."""
    content = arrays_of()

    def open_file(path: Path, mode: str) -> Any:
        assert mode == "r"
        return content

    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=open_file))
    return content


def test_axes_numbers_and_holes(folder: Path, content: dict[str, np.ndarray]) -> None:
    data = DepthFolder(folder, "nyu-labelled")
    assert (len(data.train), len(data.val)) == (3, 2)
    image, depth = data.val.load(1)  # image 4, counted from 1
    assert image.shape == (6, 8, 3) and image.dtype == np.uint8 and depth.dtype == np.float32
    assert (image[0, :, 0] == 255).all() and (image[1:] == 3).all()
    assert depth[3, 2] == 0 and np.unique(depth).tolist() == [0, 4]
    filled = DepthFolder(folder, "nyu-labelled-filled")
    assert (filled.val.load(1)[1] == 4).all()
    assert filled.protocol["val_content"] != data.protocol["val_content"]
    batch = next(data.val.batches((3, 4), 2))
    assert batch.images.shape == (2, 3, 3, 4) and batch.ids == [0, 1]
    assert data.picture(0, SimpleNamespace(size=(6, 8))).shape == (6, 8, 3)
    assert data.val.name(0).endswith(f"{FILE}/images/2")
    assert len(DepthFolder(folder, "nyu-labelled", limit=(1, 1)).val) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(val="train"), "3 of the 3 val images are train images"),
        (dict(val="validation"), "has the parts train and val"),
        (dict(train_exclude="a*"), "images of the labelled set have none"),
        (dict(scale=2.0), "belong to depth maps in files"),
    ],
)
def test_options_that_do_not_fit(
    options: dict, message: str, folder: Path, content: dict[str, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=message):
        DepthFolder(folder, "nyu-labelled", **options)
    assert (
        DepthFolder(folder, "nyu-labelled", val="train", allow_shared=True).protocol[
            "shared_images"
        ]
        == 3
    )


def test_files_that_do_not_fit(folder: Path, content: dict[str, np.ndarray]) -> None:
    raw = content.pop("rawDepths")
    with pytest.raises(ValueError, match="no array 'rawDepths' of 3 axes"):
        DepthFolder(folder, "nyu-labelled")
    content["rawDepths"] = raw[:, :4]
    with pytest.raises(ValueError, match="a label map must have its image's size"):
        DepthFolder(folder, "nyu-labelled").val.load(0)
    content["rawDepths"] = raw[:3]
    with pytest.raises(ValueError, match="5 images and 3 rawDepths"):
        DepthFolder(folder, "nyu-labelled")
    content["rawDepths"] = (1000 * raw).astype(np.uint16)
    with pytest.raises(ValueError, match="rawDepths uint16"):
        DepthFolder(folder, "nyu-labelled")
    content["rawDepths"] = raw
    savemat(folder / "splits.mat", dict(trainNdxs=[[1]], testNdxs=[[6]]))
    with pytest.raises(ValueError, match="testNdxs names images outside 1 to 5"):
        DepthFolder(folder, "nyu-labelled")
    (folder / "splits.mat").unlink()
    with pytest.raises(FileNotFoundError, match="splits.mat"):
        DepthFolder(folder, "nyu-labelled")


def test_without_h5py_the_message_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match="needs h5py: pip install h5py"):
        DepthFolder(folder, "nyu-labelled")


def test_a_real_file(folder: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with pytest.raises(ValueError, match="is no HDF5 file, or damaged"):
        DepthFolder(folder, "nyu-labelled")
    with h5py.File(folder / FILE, "w") as file:
        for name, values in arrays_of().items():
            file.create_dataset(name, data=values, chunks=True, compression="gzip")
    image, depth = DepthFolder(folder, "nyu-labelled").val.load(1)
    assert (image[1:] == 3).all() and np.unique(depth).tolist() == [0, 4]
