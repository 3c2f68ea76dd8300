"""Maps that are kept are those that would have been encoded, and are encoded once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.core.kept import KeptMaps

CPU = torch.device("cpu")


class Counted:
    """An encoder that counts the images it sees: a map is the image's mean per cell of 4 pixels."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return torch.nn.functional.avg_pool2d(images.float(), 4)


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, 8, 12), dtype=torch.uint8, generator=generator)


def test_batches_of_known_images_are_not_encoded_whatever_their_order(images: Tensor) -> None:
    kept, encode = KeptMaps(), Counted()
    first = [kept.maps(part, encode, CPU) for part in images.split(2)]
    again = kept.maps(images.flip(0), encode, CPU)
    assert encode.images == 6 and torch.equal(again, torch.cat(first).flip(0))
    assert (kept.asked, kept.taken) == (12, 6)
    assert str(kept).startswith("6 of 12 maps were encoded before and kept (")


def test_another_size_or_pixel_is_another_image(images: Tensor) -> None:
    kept, encode = KeptMaps(), Counted()
    kept.maps(images, encode, CPU)
    changed = images.clone()
    changed[3, 1, 2, 5] ^= 1
    for others in (changed, images.reshape(6, 3, 12, 8)):
        assert torch.equal(kept.maps(others, encode, CPU), Counted()(others))
    assert encode.images == 18 and kept.taken == 0


def test_memory_is_bounded_and_drawn_images_take_none(images: Tensor) -> None:
    kept, encode = KeptMaps(most_bytes=2 * 3 * 2 * 3 * 4), Counted()
    for _ in range(2):
        kept.maps(images.float(), encode, CPU)
    assert kept.asked == 0 and encode.images == 12
    for _ in range(2):
        for image in images.split(1):
            kept.maps(image, encode, CPU)
    assert kept.taken == 2 and encode.images == 12 + 10


def test_copies_behind_upsamplers_share_and_other_features_do_not(images: Tensor) -> None:
    extractor = FeatureExtractor.load("random:vit_tiny_patch16_224?depth=2&img_size=32")
    larger = torch.nn.functional.interpolate(images.float(), 32).to(torch.uint8)
    kept = KeptMaps()
    keeping = extractor.keeping(kept)
    upsampler = SimpleNamespace(upsample=lambda image, features, size: features + 1)
    assert torch.equal(keeping.maps(larger), extractor.maps(larger))
    behind = keeping.through(upsampler, 4)
    assert torch.equal(behind.maps(larger), extractor.maps(larger) + 1) and kept.taken == 6
    assert torch.equal(behind.encode(larger), extractor.encode(larger)) and kept.taken == 12
    keeping.maps(larger, recurs=False)
    assert (kept.asked, kept.taken) == (18, 12)
    raw = keeping.reading(FeatureSettings(norm=False))
    assert not torch.equal(raw.maps(larger), extractor.maps(larger)) and kept.taken == 12
