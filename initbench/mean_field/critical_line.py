"""The critical line of an activation: the weights and biases on the edge of chaos, chi1(q*) = 1.

Sources: Schoenholz et al. 2017, section 3; Hayou et al. 2019, "On the impact of the activation function on deep neural
networks training".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from initbench.errors import SchemeError
from initbench.mean_field.variance import (
    HOMOGENEOUS,
    Q_MAX,
    Q_MIN,
    chi1,
    curve,
    fixed_point,
    root,
    second_moment,
    slope_moment,
    variance_slope,
)


class Critical(NamedTuple):
    """A point on the edge of chaos: W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2), and the variance q* there."""

    sigma_w: float
    sigma_b: float
    q: float


def critical_point(activation: str, *, sigma_w: float | None = None, sigma_b: float | None = None) -> Critical:
    """Return the point with chi1(q*) = 1 for the given sigma_b or the given sigma_w; the first one where none is given.

    The critical line, with q as its parameter: sigma_w^2 = 1 / E[phi'(sqrt(q) z)^2], and sigma_b^2 = q - sigma_w^2
    E[phi(sqrt(q) z)^2] (Hayou et al. 2019). Only that part of it counts on which q is stable and the fixed point that
    V comes to from q = 1. On it sigma_b grows with q without end, and

    - tanh, softsign, elu, selu begin at sigma_b = 0 with q = 0;
    - sigmoid at sigma_b = 0 with sigma_w = 10.149, q = 45.6: before, sigma_b^2 < 0;
    - gelu at sigma_b = 0.416, silu at 0.745: before, q is unstable, V' > 1. They are "half-stable" (Roberts, Yaida &
      Hanin 2022, "The principles of deep learning theory", section 5.3.4). Two of their points can have the same
      sigma_w: the one with the smaller sigma_b is returned;
    - relu, leaky_relu, linear have one point, sigma_b = 0. Every q is a fixed point; q = 1 stands for them all.

    Where both are given they are returned as they are, critical or not, with their `fixed_point`.
    Raises SchemeError for an unknown activation, a sigma that is negative or not finite, and where there is no such
    point.
    """
    curve(activation)
    for name, sigma in {"sigma_w": sigma_w, "sigma_b": sigma_b}.items():
        if sigma is not None and not 0 <= sigma < math.inf:
            raise SchemeError(f"{name}={sigma}: give a finite number that is not negative.")
    if sigma_w is not None and sigma_b is not None:
        return Critical(sigma_w, sigma_b, fixed_point(activation, sigma_w, sigma_b))
    if activation in HOMOGENEOUS:
        return _homogeneous(activation, sigma_w, sigma_b)
    if sigma_w is not None:
        return _with_sigma_w(activation, sigma_w)
    return _start(activation) if sigma_b is None else _with_sigma_b(activation, sigma_b)


def _homogeneous(activation: str, sigma_w: float | None, sigma_b: float | None) -> Critical:
    critical = 1 / math.sqrt(slope_moment(activation, 1.0))
    if sigma_b or (sigma_w is not None and not math.isclose(sigma_w, critical, rel_tol=1e-6)):
        asked = f"sigma_w={sigma_w:g}" if sigma_w is not None else f"sigma_b={sigma_b:g}"
        raise SchemeError(
            f"{activation} has no critical point at {asked}: chi1 does not depend on q, and any bias makes the variance"
            f" grow with depth. Use its only one, sigma_w={critical:.6f} with sigma_b=0, or give both."
        )
    return Critical(critical, 0.0, 1.0)


def _with_sigma_b(activation: str, sigma_b: float) -> Critical:
    start = _start(activation)
    if sigma_b == start.sigma_b:
        return start
    q = _first_root(lambda q: _on_line(activation, q)[1] - sigma_b**2, _grid(activation))
    if q is None:
        raise SchemeError(
            f"{activation} has no stable critical point at sigma_b={sigma_b:g}: its edge of chaos begins at sigma_b="
            f"{_up(start.sigma_b)}, sigma_w={start.sigma_w:.4f}. Use a larger sigma_b, or give both."
        )
    return Critical(math.sqrt(_on_line(activation, q)[0]), sigma_b, q)


def _with_sigma_w(activation: str, sigma_w: float) -> Critical:
    start = _start(activation)
    if math.isclose(sigma_w, start.sigma_w, rel_tol=1e-13):
        return start
    q = _first_root(lambda q: chi1(activation, q, sigma_w) - 1, _grid(activation))
    if q is None:
        line = [math.sqrt(_on_line(activation, q)[0]) for q in _grid(activation)]
        limits = f"from {_up(min(line))} " + (f"to {max(line):.4f}" if max(line) < 1e3 else "up")
        raise SchemeError(
            f"{activation} has no stable critical point at sigma_w={sigma_w:g}: on its edge of chaos sigma_w runs"
            f" {limits}. Use one of these, leave sigma_w out, or give both."
        )
    return Critical(sigma_w, math.sqrt(max(_on_line(activation, q)[1], 0.0)), q)


def _on_line(activation: str, q: float) -> tuple[float, float]:
    """Return (sigma_w^2, sigma_b^2) of the critical line at `q`; sigma_b^2 < 0 where there is no such point."""
    sigma_w2 = 1 / slope_moment(activation, q)
    return sigma_w2, q - sigma_w2 * second_moment(activation, q)


@lru_cache
def _start(activation: str) -> Critical:
    """Return the first point of the critical line, as q grows, that counts; all later ones do."""
    low, high = 1e-4, 1e4
    if _counts(activation, low):
        low = high = 0.0
    while high > low * (1 + 1e-15):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _counts(activation, middle) else (middle, high)
    sigma_w2, sigma_b2 = _on_line(activation, high)
    return Critical(math.sqrt(sigma_w2), math.sqrt(sigma_b2) if sigma_b2 > 1e-12 * high else 0.0, high)


def _counts(activation: str, q: float) -> bool:
    """Return whether the critical line has a point at `q` that is stable and is what V comes to from 1."""
    sigma_w2, sigma_b2 = _on_line(activation, q)
    if sigma_b2 < 0 or variance_slope(activation, q, math.sqrt(sigma_w2)) > 1:
        return False
    return math.isclose(fixed_point(activation, math.sqrt(sigma_w2), math.sqrt(sigma_b2)), q, rel_tol=1e-4)


@lru_cache
def _grid(activation: str) -> tuple[float, ...]:
    """Return values of q along the critical line, among them its start and where sigma_w is smallest, ascending."""
    from scipy.optimize import minimize_scalar

    start = _start(activation).q
    grid = [start, *(start + np.geomspace(Q_MIN, Q_MAX, 121)).tolist()]
    slopes = [slope_moment(activation, q) for q in grid]
    near = slopes.index(max(slopes))
    if near > 0:  # gelu and silu
        bounds = grid[near - 1], grid[near + 1]
        grid[near] = float(minimize_scalar(lambda q: -slope_moment(activation, q), bounds=bounds, method="bounded").x)
    return tuple(grid)


def _first_root(f: Callable[[float], float], grid: tuple[float, ...]) -> float | None:
    """Return the first zero of `f` along the ascending `grid`, if there is one."""
    values = [f(q) for q in grid]
    for (low, high), (before, after) in zip(pairwise(grid), pairwise(values), strict=True):
        if before * after <= 0:
            return root(f, low, high)
    return None


def _up(value: float) -> str:
    """Return `value` rounded up to four decimals, so that what an error names as allowed is allowed."""
    return f"{math.ceil(value * 1e4 - 1e-6) / 1e4:g}"
