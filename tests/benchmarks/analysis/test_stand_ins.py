"""Stand-ins for networks: noise that belongs to its image, and places."""

from __future__ import annotations

import torch

from benchmarks.analysis.stand_ins import NOISE_CHANNELS, Noise, Places


def test_noise_is_that_of_its_image_and_seed() -> None:
    images = torch.randint(0, 255, (3, 3, 16, 24), dtype=torch.uint8)
    maps = Noise(8).maps(images)
    assert maps.shape == (3, NOISE_CHANNELS, 2, 3)
    assert torch.equal(Noise(8).maps(images[1:2]), maps[1:2])  # whatever stands beside it
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(Noise(8, seed=1).maps(images), maps)
    torch.testing.assert_close(Noise(8).vector(images), maps.mean((2, 3)))


def test_places_run_from_corner_to_corner() -> None:
    rows, columns = Places(8).maps(torch.zeros(2, 3, 16, 24))[1]
    assert rows.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert columns.tolist() == [[0, 0.5, 1], [0, 0.5, 1]]
