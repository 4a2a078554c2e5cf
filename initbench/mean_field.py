"""Mean-field theory of wide random networks: how signal and gradient change with depth, and where neither does.

Before training, with W_ij ~ N(0, sigma_w^2 / fan_in) and b_i ~ N(0, sigma_b^2), the pre-activations of a wide layer
are normal with a variance q, and q -> V(q) = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2, z ~ N(0, 1), is its law from
layer to layer. Gradients change by chi1 = sigma_w^2 E[phi'(sqrt(q*) z)^2] per layer at its fixed point q*. The network
is critical, on the edge of chaos, where chi1 = 1.

Sources: Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos"; Schoenholz et
al. 2017, "Deep information propagation"; Hayou et al. 2019, "On the impact of the activation function on deep neural
networks training".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

from initbench.activations import LEAKY_SLOPE
from initbench.errors import SchemeError, unknown

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]


class Curve(NamedTuple):
    """An activation phi and its derivative, both elementwise; at a kink the derivative is torch's, that of the left."""

    phi: Function
    slope: Function


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017

CURVES: dict[str, Curve] = {
    "relu": Curve(lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "tanh": Curve(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": Curve(expit, lambda x: expit(x) * expit(-x)),
    "leaky_relu": Curve(lambda x: np.where(x > 0, x, LEAKY_SLOPE * x), lambda x: np.where(x > 0, 1.0, LEAKY_SLOPE)),
    "elu": Curve(lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0))),
    "selu": Curve(
        lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x: SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    ),
    "gelu": Curve(lambda x: x * ndtr(x), lambda x: ndtr(x) + x * _density(x)),
    "silu": Curve(lambda x: x * expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    "softsign": Curve(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0),
    "linear": Curve(lambda x: x, np.ones_like),
}
HOMOGENEOUS = ("relu", "leaky_relu", "linear")  # phi(c x) = c phi(x) for c > 0, so that chi1 does not depend on q


def _density(z: Floats) -> Floats:
    """Return the density of N(0, 1) at `z`."""
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _gauss_legendre() -> tuple[Floats, Floats]:
    """Return the nodes z and weights of E[f(z)], z ~ N(0, 1), by Gauss-Legendre on pieces that halve towards z = 0.

    No piece crosses 0, where activations have their kink: Gauss-Hermite, smooth across it, converges only
    algebraically there. Seen from a piece [a, 2a] of half-width a/2 the nearest point of phi(sqrt(q) z) that is not
    analytic (0, or a pole above it) lies 3 half-widths from its centre, whatever q is: 24 nodes leave an error near
    (3 + sqrt(8))^-48 = 1e-36 of the integrand's size, and resolve the density too. The last piece, [0, 12/2^40],
    keeps this up to q = 1e21. Beyond the cut-off lies P(|z| > 12) < 1e-32.
    """
    edges = np.concatenate([[0.0], 12 * 2.0 ** -np.arange(40.0, -1.0, -1.0)])
    x, weights = np.polynomial.legendre.leggauss(24)
    half_widths, centres = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    z = (centres + half_widths * x).ravel()
    weights = (half_widths * weights).ravel() * _density(z)
    return np.concatenate([-z, z]), np.concatenate([weights, weights])


NODES, WEIGHTS = _gauss_legendre()
_Q_MIN, _Q_MAX = 1e-12, 1e18  # where a variance counts as vanished or exploded
_ROUNDING = 1e-15  # of V(q), relative to q
_Q_LIMIT = 1e-200  # stands for q -> 0, where a kink keeps its two slopes


def expectation(f: Function) -> float:
    """Return E[f(z)], z ~ N(0, 1), for an elementwise f that is smooth but for a kink at 0; see `_gauss_legendre`."""
    return float(np.sum(WEIGHTS * f(NODES)))


def curve(activation: str) -> Curve:
    """Return phi and phi' of `activation`; raises SchemeError for an unknown name."""
    if activation not in CURVES:
        raise SchemeError(unknown("activation", activation, CURVES))
    return CURVES[activation]


def second_moment(activation: str, q: float) -> float:
    """Return E[phi(sqrt(q) z)^2], the mean square of the activation behind pre-activations N(0, q)."""
    phi = curve(activation).phi
    return expectation(lambda z: phi(math.sqrt(q) * z) ** 2)


def slope_moment(activation: str, q: float) -> float:
    """Return E[phi'(sqrt(q) z)^2]; for q = 0 its limit, in which a kink's two slopes count half each."""
    slope = curve(activation).slope
    return expectation(lambda z: slope(math.sqrt(max(q, _Q_LIMIT)) * z) ** 2)


def variance_map(activation: str, q: float, sigma_w: float, sigma_b: float) -> float:
    """Return V(q) = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2, the variance one layer on (Poole et al. 2016, eq. 3).

    V never falls with q for these ten activations: phi(u)^2 + phi(-u)^2 grows with |u|.
    """
    return sigma_w**2 * second_moment(activation, q) + sigma_b**2


def variance_slope(activation: str, q: float, sigma_w: float) -> float:
    """Return V'(q) = sigma_w^2 E[z phi(sqrt(q) z) phi'(sqrt(q) z)] / sqrt(q): below 1 a fixed point is stable."""
    phi, slope = curve(activation)
    root = math.sqrt(max(q, 1e-16))  # below, the rounding of phi(0) != 0 would outgrow the rest
    return sigma_w**2 * expectation(lambda z: z * (phi(root * z) * slope(root * z))) / root


def chi1(activation: str, q: float, sigma_w: float) -> float:
    """Return chi1 = sigma_w^2 E[phi'(sqrt(q) z)^2], a squared gradient's factor per layer (Schoenholz 2017, eq. 5)."""
    return sigma_w**2 * slope_moment(activation, q)


def depth_scale(chi: float) -> float:
    """Return xi = -1 / log(chi), the layers in which squared gradients, and differences between inputs, fall to 1/e.

    inf at chi = 1; negative in the chaotic phase, chi > 1, where squared gradients grow by e every -xi layers.
    Source: Schoenholz et al. 2017, sections 3 and 4.
    """
    if chi == 0:
        return 0.0
    return math.inf if chi == 1 else -1 / math.log(chi)


def fixed_point(activation: str, sigma_w: float, sigma_b: float) -> float:
    """Return q*, where q <- V(q) ends when it starts at q = 1; 0.0 where it vanishes, inf where it grows without end.

    V never falls, so that the iteration moves one way only, to the nearest zero of V(q) - q on that way: it is walked
    in steps of 2^(1/4). Two zeros within a step, between which V just touches q, show in the slope of V at its ends.
    """
    start = variance_map(activation, 1.0, sigma_w, sigma_b) - 1
    if abs(start) < 1e-13:
        return 1.0  # as it is, exactly, for relu at sigma_w = sqrt(2) and selu at sigma_w = 1
    sign = math.copysign(1.0, start)

    def ahead(q: float) -> float:
        """Return how far V lies ahead of q on the walk; within their rounding it counts as ahead."""
        return sign * (variance_map(activation, q, sigma_w, sigma_b) - q) + _ROUNDING * q

    def turning(q: float) -> float:
        return sign * (variance_slope(activation, q, sigma_w) - 1)

    vanished = _Q_MIN if variance_map(activation, 0.0, sigma_w, sigma_b) == 0 else 0.0  # else q* >= V(0) > 0
    here = 1.0
    while vanished < here < _Q_MAX:
        nearest = there = here * 2 ** (sign / 4)
        low, high = sorted((here, there))
        if ahead(there) > 0 and turning(low) < 0 < turning(high):
            nearest = _root(turning, low, high)
        if ahead(nearest) <= 0:
            return _root(ahead, here, nearest)
        here = there
    return 0.0 if sign < 0 else math.inf


def _root(f: Callable[[float], float], a: float, b: float) -> float:
    """Return the zero of `f` between `a` and `b`, to the last digits of even a very small one."""
    from scipy.optimize import brentq  # which takes longer to import than the gains take to compute

    return float(brentq(f, a, b, xtol=1e-300, rtol=1e-15))


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
    grid = [start, *(start + np.geomspace(_Q_MIN, _Q_MAX, 121)).tolist()]
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
            return _root(f, low, high)
    return None


def _up(value: float) -> str:
    """Return `value` rounded up to four decimals, so that what an error names as allowed is allowed."""
    return f"{math.ceil(value * 1e4 - 1e-6) / 1e4:g}"
