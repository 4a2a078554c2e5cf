"""The moments of an activation at many variances q at once: tabulated over log q once, interpolated from there on.

All of them are positive and analytic in log q, and follow power laws of q at both ends: their logarithms are smooth.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from initbench.mean_field.variance import NODES, WEIGHTS, Floats, curve

LOG_Q = np.log(10.0) * np.arange(-320, 361) / 20  # of the table: from q = 1e-16 to 1e18
_STEP = math.log(10) / 20
_LOG_LIMIT = 2000.0  # stands for |log q| = inf: exp(2000) is inf and exp(-2000) is 0
_STENCIL = np.arange(-2, 4)  # the six places of the table that a value is interpolated from
_SCALES = np.array([math.prod(float(j - m) for m in _STENCIL if m != j) for j in _STENCIL])


class Moments(NamedTuple):
    """What an activation does to N(0, q), for each of many q; z ~ N(0, 1)."""

    second: Floats  # [K] E[phi(sqrt(q) z)^2]
    growth: Floats  # [K] d E[phi(sqrt(q) z)^2] / dq = E[z phi phi'] / sqrt(q)
    slope: Floats  # [K] E[phi'(sqrt(q) z)^2]
    scatter: Floats  # [K] Var[phi(sqrt(q) z)^2]


def moments(activation: str, q: Floats) -> Moments:
    """Return the moments at each of `q` [K] >= 0, which may be inf, to a relative error of about 1e-7.

    The logarithms are interpolated with polynomials of degree 5, and go on as straight lines outside of the table, by
    the power law that holds there: at q = 0 and q = inf stand its limits, 0 and inf among them.
    Raises SchemeError for an unknown activation.
    """
    table, below, above = _table(activation)  # [G,4], [4], [4]
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        log_q = np.clip(np.log(q), -_LOG_LIMIT, _LOG_LIMIT)[..., None]  # [K,1]
        inside = np.clip(log_q, LOG_Q[0], LOG_Q[-1])
        outside = log_q - inside
        values = np.exp(_interpolated(table, inside[..., 0]) + outside * np.where(outside < 0, below, above))  # [K,4]
    return Moments(*np.moveaxis(values, -1, 0))


def _interpolated(table: Floats, log_q: Floats) -> Floats:
    """Return the columns of `table` [G,M] at `log_q` [K], as [K,M], by Lagrange's formula."""
    place = (log_q - LOG_Q[0]) / _STEP
    first = np.clip(place.astype(np.intp), 2, len(LOG_Q) - 4)
    distance = (place - first)[..., None] - _STENCIL  # [K,6]
    products = np.stack([np.prod(np.delete(distance, j, -1), -1) for j in range(len(_STENCIL))], -1)
    weights = products / _SCALES
    interpolated: Floats = np.einsum("...s,...sm->...m", weights, table[first[..., None] + _STENCIL])
    return interpolated


@lru_cache
def _table(activation: str) -> tuple[Floats, Floats, Floats]:
    """Return the logarithms of the moments at LOG_Q [G,4], and the exponents of their power laws below and above."""
    phi, slope = curve(activation)
    rows = []
    for root in np.exp(LOG_Q / 2):
        value, derivative = phi(root * NODES), slope(root * NODES)
        squares = value**2
        second = float(WEIGHTS @ squares)
        growth = WEIGHTS @ (NODES * (value * derivative)) / root
        rows.append((second, growth, WEIGHTS @ derivative**2, WEIGHTS @ (squares - second) ** 2))
    table = np.log(np.array(rows))
    ends = np.array([table[1] - table[0], table[-1] - table[-2]]) / _STEP
    below, above = np.round(2 * ends) / 2  # all exponents are multiples of 1/2
    return table, below, above
