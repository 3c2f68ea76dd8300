"""What benchmarks of maps ask of a size and of a network."""

from __future__ import annotations

import pytest
import torch

from benchmarks.core.maps import grid_of, require_directions, require_grid
from benchmarks.core.memory import available_bytes, gigabytes


def test_the_grid_of_an_input() -> None:
    assert grid_of((40, 48), 8) == (5, 6)
    with pytest.raises(ValueError, match=r"size=\(40, 50\) .* stride 8; the nearest is \(40, 48\)"):
        grid_of((40, 50), 8)
    with pytest.raises(ValueError, match=r"the nearest is \(8, 8\)"):
        grid_of((3, 8), 8)


def test_another_grid_than_promised_is_named() -> None:
    require_grid(torch.Size((5, 6)), (5, 6), 8)
    with pytest.raises(ValueError, match="gives maps of 5x7 where stride 8 asks for 5x6"):
        require_grid((5, 7), (5, 6), 8)


@pytest.mark.parametrize("wrong", [0.0, torch.nan, torch.inf])
def test_a_feature_without_direction_names_its_image(wrong: float) -> None:
    norms = torch.ones(3, 2, 2)
    require_directions(norms, [4, 5, 6], str)
    norms[1, 0, 1] = norms[2, 1, 1] = wrong
    with pytest.raises(ValueError, match="^5: a feature is zero or not finite"):
        require_directions(norms, [4, 5, 6], str)


def test_bytes_as_text_and_what_is_free() -> None:
    assert (gigabytes(1_530_000_000), gigabytes(1_500_000)) == ("1.53 GB", "1.5 MB")
    assert 0 <= available_bytes("cpu") < 1 << 62
