"""The definitions of mean-field theory, with scalar functions of math integrated by scipy: nothing of initbench."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from scipy.integrate import quad

Scalar = Callable[[float], float]


def logistic(u: float) -> float:
    return 1 / (1 + math.exp(-u)) if u > -700 else 0.0


def normal_cdf(u: float) -> float:
    return math.erfc(-u / math.sqrt(2)) / 2


SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772  # of selu, Klambauer et al. 2017

PHI: dict[str, tuple[Scalar, Scalar]] = {
    "relu": (lambda u: max(u, 0.0), lambda u: float(u > 0)),
    "leaky_relu": (lambda u: u if u > 0 else 0.01 * u, lambda u: 1.0 if u > 0 else 0.01),
    "linear": (lambda u: u, lambda u: 1.0),
    "tanh": (math.tanh, lambda u: math.cosh(min(abs(u), 300)) ** -2),
    "sigmoid": (logistic, lambda u: logistic(u) * logistic(-u)),
    "softsign": (lambda u: u / (1 + abs(u)), lambda u: (1 + abs(u)) ** -2),
    "elu": (lambda u: u if u > 0 else math.expm1(u), lambda u: 1 if u > 0 else math.exp(u)),
    "selu": (
        lambda u: SCALE * (u if u > 0 else ALPHA * math.expm1(u)),
        lambda u: SCALE * (1 if u > 0 else ALPHA * math.exp(u)),
    ),
    "silu": (lambda u: u * logistic(u), lambda u: logistic(u) * (1 + u * logistic(-u))),
    "gelu": (
        lambda u: u * normal_cdf(u),
        lambda u: normal_cdf(u) + u * math.exp(-u * u / 2) / math.sqrt(2 * math.pi),
    ),
}


def mean(f: Scalar, q: float) -> float:
    """E[f(u)], u ~ N(0, q), adaptively, on pieces as wide as f and as the density."""
    std = math.sqrt(q)
    edges = {0.0, -4.0, 4.0, *(sign * edge * std for sign in (-1, 1) for edge in (2, 9))}
    edges = {edge for edge in edges if abs(edge) <= 9 * std}

    def weighted(u: float) -> float:
        return f(u) * math.exp(-u * u / (2 * q)) / math.sqrt(2 * math.pi * q)

    pieces = itertools.pairwise(sorted(edges))
    return sum(quad(weighted, low, high, epsabs=1e-12, epsrel=1e-9)[0] for low, high in pieces)


def variance(activation: str, q: float, sigma_w: float, sigma_b: float) -> float:
    """V(q) = sigma_w^2 E[phi(u)^2] + sigma_b^2."""
    phi = PHI[activation][0]
    return sigma_w**2 * mean(lambda u: phi(u) ** 2, q) + sigma_b**2


def chi(activation: str, q: float, sigma_w: float) -> float:
    """chi1 = sigma_w^2 E[phi'(u)^2]."""
    slope = PHI[activation][1]
    return sigma_w**2 * mean(lambda u: slope(u) ** 2, q)


def settled(activation: str, sigma_w: float, sigma_b: float) -> float:
    """q* by plain iteration of V from q = 1, until it moves by less than 1e-9 of itself."""
    q = 1.0
    for _ in range(1000):
        before, q = q, variance(activation, q, sigma_w, sigma_b)
        if abs(q - before) < 1e-9 * q:
            return q
    raise AssertionError(f"{activation} does not settle at sigma_w={sigma_w}, sigma_b={sigma_b}")
