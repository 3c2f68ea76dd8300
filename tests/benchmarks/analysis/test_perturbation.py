"""Criticality on a parabola, whose minimum is known, and against a search of everything."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.analysis.perturbation import criticality, noise_levels

ALPHAS = np.linspace(0, 1, 21)


def test_the_vector_of_the_specification() -> None:
    """L = (θ − θF)², ‖θF − θ0‖ = 1, ε = 0.25: E L = (1 − α)² + σ²; 3.0 at α 0.75, σ 0.433013."""
    sigmas = np.linspace(1e-3, 1, 20_000)
    found = criticality(
        ALPHAS, sigmas, lambda place, sigma: (1 - ALPHAS[place]) ** 2 + sigma**2 <= 0.25
    )
    assert found.mu == pytest.approx(3.0, abs=1e-3)
    assert ALPHAS[found.place] == pytest.approx(0.75)
    assert found.sigma == pytest.approx(0.433013, abs=1e-4)


def test_against_a_search_of_everything() -> None:
    """Losses that rise and fall with the noise, on a path that returns."""
    rng = np.random.default_rng(0)
    sigmas = noise_levels(0.01, 9)
    for _ in range(20):
        travelled = rng.uniform(0.1, 2, 6)
        fits = rng.random((6, 9)) < 0.2
        asked = []

        def ask(place: int, sigma: float, fits: np.ndarray = fits, asked: list = asked) -> bool:
            asked.append((place, sigma))
            return bool(fits[place, sigmas.tolist().index(sigma)])

        quotients = np.where(fits, (travelled[:, None] / sigmas) ** 2, np.inf)
        assert criticality(travelled, sigmas, ask).mu == quotients.min()
        assert len(set(asked)) == len(asked)
        assert not fits.any() or len(asked) < fits.size


def test_a_module_that_may_stay_at_its_start_is_not_critical() -> None:
    found = criticality([0.0, 1.0], [0.1, 1.0], lambda place, sigma: sigma < 0.5)
    assert (found.mu, found.place, found.sigma) == (0, 0, 0.1)


def test_what_never_fits_has_no_criticality() -> None:
    assert criticality([0.0, 1.0], [0.1, 1.0], lambda place, sigma: False).mu == math.inf


def test_noise_levels_end_at_one() -> None:
    np.testing.assert_allclose(noise_levels(1e-3, 4), [1e-3, 1e-2, 1e-1, 1])
