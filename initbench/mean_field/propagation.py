"""Mean-field theory of one given network: how large its pre-activations and gradients are, layer by layer.

A network differs from the endless, equal layers of the fixed point: its first layer sees the data, its layers may
have other widths and activations, and it is only so wide, so that its variances scatter about the theory's.

Sources: Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos", eq. 3, and
Schoenholz et al. 2017, "Deep information propagation", section 4, for what holds in the limit of wide layers; the
scatter at finite width is derived at `propagate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from initbench.mean_field.moments import Moments, moments
from initbench.mean_field.variance import Floats

MAX_INPUTS = 64  # more inputs than these are replaced by the means of so many equally large groups of similar ones


class Dense(NamedTuple):
    """A fully connected layer at initialization, and the activation that follows it."""

    sigma_w: float  # std of its weights, times sqrt(fan_in)
    sigma_b: float  # std of its biases
    fan_in: int
    units: int
    activation: str  # a name of CURVES; "linear" where none follows


class Predicted(NamedTuple):
    """What theory says of the pre-activations h [units] of a layer, and of the gradient delta = dLoss/dh there."""

    q: float  # mean square of h, averaged over the inputs
    q_error: float  # standard deviation, from network to network, of the mean square of h for one input
    backward: float | None  # E[delta_l^2] / E[delta_(l+1)^2]; None for the last layer


def propagate(layers: Sequence[Dense], q_inputs: Floats) -> list[Predicted]:
    """Return what theory predicts for each of `layers`, whose inputs have the mean squares `q_inputs` [K].

    Each input has its own recursion; then they are averaged:

        q_1 = sigma_w^2 q_input + sigma_b^2,    q_(l+1) = sigma_w^2 E[phi(sqrt(q_l) z)^2] + sigma_b^2

    `backward` is units_(l+1) sigma_w^2 / fan_in_(l+1) E[phi'(sqrt(q_l) z)^2], sigma_w that of layer l+1; averaged with
    the weights that the inputs' gradients have in layer l+1, taken to be equally large in the last layer. With the
    usual approximation, the weights that carry the gradient back count as independent of those that carried h.

    `q_error`: let Q_l be the variance that the h of layer l have given the layer below: independent N(0, Q_l) for
    normal weights and biases. Q_1 does not scatter. Q_(l+1) = sigma_w^2 / n_l sum_i phi(h_i)^2 + sigma_b^2 has mean
    V(Q_l) and variance sigma_w^4 Var[phi^2] / n_l given Q_l. By the law of total variance, to first order in 1/n_l,

        Var Q_(l+1) = V'(q_l)^2 Var Q_l + sigma_w^4 Var[phi(sqrt(q_l) z)^2] / n_l
        Var[mean of h^2] = Var Q_l + 2 q_l^2 / n_l,

    since the mean of n squares of N(0, Q) has the variance 2 Q^2 / n. It takes: independent weights (orthogonal ones
    scatter less), so many of them, or such normal ones, that h is normal; biases that are normal or small beside the
    rest; depth / width well below 1. For several inputs the mean of their errors is given. It bounds that of
    their mean square, which it reaches where they are all alike.

    Nothing is NaN: what overflows is inf, what underflows 0. Raises ValueError for no input, or one that is negative
    or NaN; SchemeError for an unknown activation.
    """
    q_input, shares = _grouped(q_inputs)
    with np.errstate(over="ignore", under="ignore"):
        q, scatter = _through(layers[0], q_input), np.zeros_like(q_input)  # [K], [K]
        states = [(q, scatter)]
        factors = []  # of each layer but the last: E[delta_l^2] / E[delta_(l+1)^2] for each input [K]
        for below, layer in pairwise(layers):
            at = moments(below.activation, q)
            factors.append(_times(layer.units / layer.fan_in * _square(layer.sigma_w), at.slope))
            q, scatter = _through(layer, at.second), _scattered(layer, below.units, at, scatter)
            states.append((q, scatter))
        backward = [*_backward(factors, shares), None]
        return [
            Predicted(float(shares @ q), float(shares @ _error(q, scatter, layer.units)), factor)
            for (q, scatter), layer, factor in zip(states, layers, backward, strict=True)
        ]


def _grouped(q_inputs: Floats) -> tuple[Floats, Floats]:
    """Return at most MAX_INPUTS mean squares and the share of the inputs that each stands for."""
    ordered = np.sort(np.asarray(q_inputs, dtype=np.float64).ravel())
    if not ordered.size or not ordered[0] >= 0 or np.isnan(ordered[-1]):
        raise ValueError(f"q_inputs: give mean squares that are 0 or more, not {q_inputs!r}")
    groups = np.array_split(ordered, min(MAX_INPUTS, ordered.size))
    with np.errstate(over="ignore"):
        means = np.array([group.mean() for group in groups])
    return means, np.array([group.size for group in groups]) / ordered.size


def _through(layer: Dense, mean_squares: Floats) -> Floats:
    """Return the variances behind `layer` for the mean squares of what enters it."""
    return _times(_square(layer.sigma_w), mean_squares) + _square(layer.sigma_b)


def _scattered(layer: Dense, width_below: int, at: Moments, scatter: Floats) -> Floats:
    """Return Var Q of `layer` from that of the layer below, whose moments are `at`."""
    sigma_w4 = _square(_square(layer.sigma_w))
    return _times(sigma_w4, _times(at.growth**2, scatter)) + _times(sigma_w4, at.scatter) / width_below


def _error(q: Floats, scatter: Floats, units: int) -> Floats:
    return np.sqrt(scatter + 2 / units * q**2)


def _backward(factors: list[Floats], shares: Floats) -> list[float]:
    """Return the factor of the mean squared gradient at each layer but the last, by going back from there."""
    sizes = np.ones_like(shares)  # of the inputs' squared gradients, relative to their mean
    means = []
    for factor in reversed(factors):
        sizes = _times(factor, sizes)
        mean = float(shares @ sizes)
        sizes = sizes / mean if 0 < mean < np.inf else np.ones_like(shares)
        means.append(mean)
    return means[::-1]


def _square(a: float) -> float:
    return a * a  # a**2 raises where it overflows


def _times(a: Floats | float, b: Floats) -> Floats:
    """Return a b, 0 where one of them is, even if the other is inf."""
    a, b = np.broadcast_arrays(a, b)
    product: Floats = np.multiply(a, b, where=(a != 0) & (b != 0), out=np.zeros(b.shape))
    return product
