"""The studentised range, for many degrees of freedom at once.

Q = range of A independent normal means / an independent estimate s of their spread:

    P(Q ≤ q) = ∫ f_df(s) R_A(q·s) ds,   R_A(w) = A ∫ φ(z) [Φ(z) − Φ(z − w)]^{A−1} dz.

``scipy.stats.studentized_range`` takes 0.1 s per quantile, and each pair of arms has degrees of
freedom of its own as soon as images count: a table of 15 arms would take minutes. Here R_A is a
spline and the integral over s a Gauss–Legendre sum; tests compare both with scipy.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special, stats
from scipy.interpolate import BarycentricInterpolator, CubicSpline

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_WIDEST = 40.0  # ranges above are certain to be smaller: 1 − R_A < 1e-80 for any sane A
_TAIL = 1e-13  # of the distribution of s that is left out on either side
_DEGREE = 40  # of the polynomial in 1/df through the quantiles


def range_sf(q: np.ndarray | float, arms: int, df: np.ndarray | float) -> np.ndarray:
    """P(Q ≥ q).

    Args:
        q: (…), at least 0.
        arms: A.
        df: (…), at least 1.
    """
    q, df = np.broadcast_arrays(np.asarray(q, np.float64), np.asarray(df, np.float64))
    scale, weights = over_scales(df)
    tail = _range_tail(arms)(np.minimum(q[..., None] * scale, _WIDEST))
    return np.clip((weights * tail).sum(-1), 0.0, 1.0)


def range_quantile(level: float, arms: int, df: np.ndarray | float) -> np.ndarray:
    """q with P(Q ≤ q) = ``level``, for each df (…), at least 1 and maybe infinite.

    Its logarithm is a polynomial in 1/df, computed once per number of arms.
    """
    return np.exp(_log_quantile(level, arms)(1 / np.asarray(df, np.float64)))


@cache
def _log_quantile(level: float, arms: int) -> BarycentricInterpolator:
    """log q as a function of 1/df in [0, 1], through Chebyshev's points."""
    points = (1 - np.cos(np.pi * (np.arange(_DEGREE) + 0.5) / _DEGREE)) / 2
    low, high = np.zeros(_DEGREE), np.full(_DEGREE, 9.0)  # of log q
    for _ in range(52):  # bisection, to the last bit that matters
        middle = (low + high) / 2
        above = range_sf(np.exp(middle), arms, 1 / points) > 1 - level
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return BarycentricInterpolator(points, (low + high) / 2)


def over_scales(df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (…, nodes) of an integral over s = √(χ²_df / df).

    The nodes are even in √s, in which the density is smooth at 0 for every df of at least 1.
    """
    low = (stats.chi2.ppf(_TAIL, df) / df)[..., None] ** 0.25
    high = (stats.chi2.isf(_TAIL, df) / df)[..., None] ** 0.25
    root = low + (high - low) * (_NODES + 1) / 2
    scale, own = root**2, df[..., None]
    density = np.log(2) + own / 2 * np.log(own / 2) - special.gammaln(own / 2)
    density = density + special.xlogy(own - 1, scale) - own * scale**2 / 2
    return scale, np.exp(density) * 2 * root * _WEIGHTS * (high - low) / 2


@cache
def _range_tail(arms: int) -> CubicSpline:
    """1 − R_A(w) for w in [0, _WIDEST]."""
    width = np.linspace(0, _WIDEST, 4001)
    z = -9 + (18 + np.minimum(width, 9)[:, None]) * (_NODES + 1) / 2  # (widths, nodes)
    weights = _WEIGHTS * (18 + np.minimum(width, 9)[:, None]) / 2
    inside = special.ndtr(z) - special.ndtr(z - width[:, None])
    density = arms * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return CubicSpline(width, 1 - (weights * density * inside ** (arms - 1)).sum(-1))
