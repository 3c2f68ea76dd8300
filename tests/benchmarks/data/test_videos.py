"""Videos in the layout of DAVIS-2017 and one by options: what is read, and mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import VideoFolder
from benchmarks.data.videos import resize_frame


@pytest.fixture
def root(tmp_path: Path, write_davis: Callable[..., Path]) -> Path:
    return write_davis(tmp_path / "DAVIS")


def test_the_published_layout(root: Path) -> None:
    data = VideoFolder(root)
    assert [video.name for video in data.videos] == ["bike", "two-dogs"]
    assert [(video.name, number) for video, number in data.objects] == [
        ("bike", 1),
        ("two-dogs", 1),
        ("two-dogs", 2),
    ]
    assert data.groups == [0, 1, 1] and len(data.scored_files) == 10
    video = data.videos[1]
    assert video.frame(3).shape == (40, 64, 3) and video.frame(3).dtype == np.uint8
    assert np.unique(video.mask(3)).tolist() == [0, 1, 2]  # 255 is background
    protocol = data.protocol
    assert (protocol["videos"], protocol["objects"], protocol["frames"]) == (2, 3, 10)


def test_the_folder_around_it_and_some_sequences(root: Path) -> None:
    around, chosen = VideoFolder(root.parent), VideoFolder(root, only="two-dogs")
    assert around.protocol == VideoFolder(root).protocol
    assert [video.name for video in chosen.videos] == ["two-dogs"]
    assert chosen.protocol["only"] == ["two-dogs"]
    with pytest.raises(ValueError, match="only='two-dog' is not one of bike, two-dogs; did you"):
        VideoFolder(root, only="two-dog")


def test_one_video_by_options(tmp_path: Path) -> None:
    for folder in ("frames", "masks"):
        (tmp_path / folder).mkdir()
    for frame in range(3):
        Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / f"frames/{frame}.jpg")
        mask = np.zeros((8, 9), np.uint8)
        mask[2:4] = 255
        Image.fromarray(mask).save(tmp_path / f"masks/{frame}.png")
    options = dict(frames="frames", masks="masks")
    (video,) = VideoFolder(tmp_path, "sequence", **options, binary=True).videos
    assert video.objects == 1 and video.mask(2).sum() == 18
    with pytest.raises(ValueError, match=r"0\.png: the first mask shows no object; .* binary=True"):
        VideoFolder(tmp_path, "sequence", **options)
    with pytest.raises(ValueError, match="layout='sequence' lacks masks="):
        VideoFolder(tmp_path, "sequence", frames="frames")
    (tmp_path / "masks/2.png").unlink()
    with pytest.raises(ValueError, match=r"masks: 1 of 3 masks are missing, the first: \['2'\]"):
        VideoFolder(tmp_path, "sequence", **options)
    (tmp_path / "frames/2.jpg").unlink()
    with pytest.raises(ValueError, match="frames holds 2 frames; at least 3 are needed"):
        VideoFolder(tmp_path, "sequence", **options)


def test_mistakes_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"split='test': .*test\.txt is missing"):
        VideoFolder(root, split="test")
    with pytest.raises(ValueError, match=r"\['frames'\] belong to layout='sequence'"):
        VideoFolder(root, frames="frames")
    path = root / "Annotations/480p/bike/00000.png"
    Image.fromarray(np.ones((40, 63), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"00000\.png is 63x40 pixels, its image .* is 64x40"):
        VideoFolder(root)
    Image.fromarray(np.full((40, 64), 300, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"00000\.png holds uint16 values up to 300"):
        VideoFolder(root)


def test_a_frame_of_another_size_is_named(root: Path) -> None:
    path = root / "JPEGImages/480p/bike/00003.jpg"
    Image.fromarray(np.zeros((20, 64, 3), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"00003\.jpg has 20 x 64 pixels, the first mask .* 40 x"):
        VideoFolder(root).videos[0].frame(3)


def test_frames_are_resized_without_antialiasing() -> None:
    """At half the size pixel i of OpenCV lies between pixels 2i and 2i + 1."""
    image = np.arange(8 * 8 * 3).reshape(8, 8, 3).astype(np.uint8)
    expected = image.reshape(4, 2, 4, 2, 3).mean((1, 3))
    np.testing.assert_allclose(resize_frame(image, (4, 4)), expected, atol=1)
    assert resize_frame(image, (8, 8)) is image
