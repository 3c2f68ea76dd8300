"""The data set of views: reproducible samples, replacement of unreadable files, workers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pretrain.data.dataset import MAX_REPLACEMENTS, UnreadableData, ViewDataset, limit_threads
from pretrain.data.sampler import EpochSampler
from pretrain.data.sources import ImageFolder
from pretrain.structures import Batch, collate
from pretrain.views.recipe import ViewRecipe


@pytest.fixture
def folder(image_folder: Path, tmp_path: Path) -> Path:
    """A copy of the 24 images that a test may damage."""
    return shutil.copytree(image_folder, tmp_path / "images")


@pytest.fixture
def recipe() -> ViewRecipe:
    view = dict(size=16, scale=(0.3, 1.0), jitter=dict(brightness=0.4, hue=0.1, p=1.0), grey=0.2)
    return ViewRecipe({"global": [view, view], "context": [dict(size=8)]})


def same(a: Batch, b: Batch) -> bool:
    """Whether two batches are equal to the last bit."""
    tensors: list[list[torch.Tensor]] = [[], []]
    for batch, actual in zip((a, b), tensors, strict=True):
        batch.map(lambda t, actual=actual: actual.append(t) or t)
    return a.skipped == b.skipped and all(torch.equal(x, y) for x, y in zip(*tensors, strict=True))


def test_sample_shapes(folder: Path, recipe: ViewRecipe) -> None:
    sample = ViewDataset(ImageFolder(folder), recipe)[0, 9]
    views = sample.views["global"]
    assert views.images.shape == (2, 3, 16, 16) and views.images.dtype == torch.uint8
    assert views.geometry.shape == (2, 2, 3) and views.geometry.dtype == torch.float64
    assert views.photometric.order.shape == (2, 4)
    assert sample.views["context"].images.shape == (1, 3, 8, 8)
    assert sample.ids.item() == 9 and sample.labels.item() == 1 and sample.skipped == ()
    assert sample.ids.dtype == sample.labels.dtype == torch.int64
    # class 1 is "green" in the other folder, and OpenCV wrote BGR: the channels must not be
    # exchanged on the way
    assert views.images.float().mean((0, 2, 3)).argmax() == 1
    red = ViewDataset(ImageFolder(folder), recipe)[0, 16].views["global"].images
    assert red.float().mean((0, 2, 3)).argmax() == 0


def test_sample_depends_on_seed_epoch_and_index_only(folder: Path, recipe: ViewRecipe) -> None:
    source = ImageFolder(folder)
    first = ViewDataset(source, recipe, seed=3)
    expected = first[2, 5]
    again = ViewDataset(source, recipe, seed=3)
    _ = again[0, 1], again[2, 4]
    assert same(again[2, 5], expected)
    for other in (first[1, 5], ViewDataset(source, recipe, seed=4)[2, 5]):
        assert not torch.equal(other.views["global"].geometry, expected.views["global"].geometry)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(folder: Path, recipe: ViewRecipe, workers: int) -> None:
    (folder / "red" / "001.jpg").write_bytes(b"")
    data = ViewDataset(ImageFolder(folder), recipe, seed=1)
    sampler = EpochSampler(len(data), 6, seed=1)
    loaders = [
        DataLoader(
            data,
            6,
            sampler=sampler,
            num_workers=n,
            collate_fn=collate,
            worker_init_fn=limit_threads,
        )
        for n in (0, workers)
    ]
    for _, here, there in zip(range(6), *loaders, strict=False):
        assert same(here, there)


def test_unlabelled_source(folder: Path, recipe: ViewRecipe) -> None:
    data = ViewDataset(ImageFolder(folder / "red"), recipe)
    assert data[0, 0].labels is None
    assert collate([data[0, 0], data[0, 1]]).labels is None


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        content = {
            "empty": b"",
            "truncated": data[: len(data) // 2],
            "text": b"not found",
            "corrupt": data[:-60] + bytes(40) + data[-20:],
        }[how]
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["empty", "truncated", "text", "corrupt", "missing", "folder"])
def test_unreadable_file_is_replaced_and_reported(
    folder: Path, recipe: ViewRecipe, how: str
) -> None:
    source = ImageFolder(folder)
    intact = ViewDataset(source, recipe)
    damage(Path(source.name(9)), how)
    sample = ViewDataset(source, recipe)[0, 9]
    assert same(sample, ViewDataset(source, recipe)[0, 9])
    substitute = sample.ids.item()
    assert substitute != 9 and sample.labels.item() == source.label(substitute)
    ((bad, reason),) = sample.skipped
    assert (
        bad == 9
        and reason.startswith(source.name(9) + ": ")
        and len(reason) > len(source.name(9)) + 5
    )
    # a substitute is cut with the random numbers of its place, so it never repeats its own sample
    # of the epoch
    own = intact[0, substitute].views["global"]
    assert not torch.equal(own.geometry, sample.views["global"].geometry)
    # the next image is not touched
    assert same(intact[0, 10], ViewDataset(source, recipe)[0, 10])


def test_substitutes_vary_with_the_epoch(folder: Path, recipe: ViewRecipe) -> None:
    source = ImageFolder(folder)
    damage(Path(source.name(0)), "empty")
    data = ViewDataset(source, recipe)
    assert len({data[epoch, 0].ids.item() for epoch in range(12)}) > 4


def test_unreadable_substitutes_are_reported_too(folder: Path, recipe: ViewRecipe) -> None:
    source = ImageFolder(folder)
    for index in range(len(source)):
        if index != 20:
            damage(Path(source.name(index)), "truncated")
    samples = [
        ViewDataset(source, recipe)[epoch, 3] for epoch in range(3) if _finds(source, recipe, epoch)
    ]
    assert samples
    for sample in samples:
        assert sample.ids.item() == 20
        tried = [index for index, _ in sample.skipped]
        assert tried[0] == 3 and len(set(tried)) == len(tried)


def _finds(source: ImageFolder, recipe: ViewRecipe, epoch: int) -> bool:
    try:
        ViewDataset(source, recipe)[epoch, 3]
    except UnreadableData:
        return False
    return True


@pytest.mark.parametrize("images", [1, 24])
def test_nothing_readable_fails_instead_of_searching_forever(
    folder: Path, recipe: ViewRecipe, images: int
) -> None:
    source = ImageFolder(folder)
    for index in range(len(source)):
        damage(Path(source.name(index)), "empty") if index < images else Path(
            source.name(index)
        ).unlink()
    source = ImageFolder(folder)
    reads: list[int] = []
    read = source.read
    source.read = lambda index: reads.append(index) or read(index)
    with pytest.raises(UnreadableData, match="images in a row cannot be read .*empty .0 bytes"):
        ViewDataset(source, recipe)[0, 0]
    assert 1 <= len(reads) <= MAX_REPLACEMENTS + 1


def test_photometrics_in_workers(folder: Path, recipe: ViewRecipe) -> None:
    source = ImageFolder(folder)
    device = ViewDataset(source, recipe, photometrics="device")[0, 2].views["global"]
    workers = ViewDataset(source, recipe, photometrics="workers")[0, 2].views["global"]
    assert workers.photometric is None and workers.images.dtype == torch.uint8
    assert torch.equal(workers.geometry, device.geometry)
    assert not torch.equal(workers.images, device.images)
    with pytest.raises(ValueError, match="photometrics='gpu' is not one of device, workers"):
        ViewDataset(source, recipe, photometrics="gpu")


def test_decodes_no_larger_than_the_plan_asks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pretrain.data import dataset as module

    asked: list[tuple[int, int]] = []
    decode = module.decode
    monkeypatch.setattr(
        module, "decode", lambda data, size: asked.append(size) or decode(data, size)
    )
    recipe = ViewRecipe({"global": [dict(size=12, scale=(1.0, 1.0), ratio=(1.0, 1.0))]})
    ViewDataset(ImageFolder(folder), recipe)[0, 0]
    ((height, width),) = asked
    assert 12 <= height < 48 and 12 <= width < 64


def test_views_come_from_the_image_named_by_ids(folder: Path) -> None:
    """A whole-image view at full size equals the decoded image."""
    from pretrain.data.decode import decode

    recipe = ViewRecipe(
        {"global": [dict(size=(48, 64), scale=(1.0, 1.0), ratio=(4 / 3, 4 / 3), flip=0.0)]}
    )
    source = ImageFolder(folder)
    sample = ViewDataset(source, recipe)[0, 4]
    image = decode(source.read(4))
    assert image.shape == (48, 64, 3)
    shown = sample.views["global"].images[0].permute(1, 2, 0).numpy()
    assert np.abs(shown.astype(int) - image).max() <= 1
