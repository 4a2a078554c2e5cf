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
Q_MIN, Q_MAX = 1e-12, 1e18  # where a variance counts as vanished or exploded
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

    vanished = Q_MIN if variance_map(activation, 0.0, sigma_w, sigma_b) == 0 else 0.0  # else q* >= V(0) > 0
    here = 1.0
    while vanished < here < Q_MAX:
        nearest = there = here * 2 ** (sign / 4)
        low, high = sorted((here, there))
        if ahead(there) > 0 and turning(low) < 0 < turning(high):
            nearest = root(turning, low, high)
        if ahead(nearest) <= 0:
            return root(ahead, here, nearest)
        here = there
    return 0.0 if sign < 0 else math.inf


def root(f: Callable[[float], float], a: float, b: float) -> float:
    """Return the zero of `f` between `a` and `b`, to the last digits of even a very small one."""
    from scipy.optimize import brentq  # which takes longer to import than the gains take to compute

    return float(brentq(f, a, b, xtol=1e-300, rtol=1e-15))
