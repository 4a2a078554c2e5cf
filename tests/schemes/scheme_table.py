"""The one table of the scheme tests: a new rule on a weight is one new row.

A row: the spec, and what its entries are: independent draws from a distribution (scipy's, given the weight's shape),
DEPENDENT draws, or FIXED, the same for every seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from scipy import stats

Shape = tuple[int, ...]
FIXED, DEPENDENT = "fixed", "dependent"
Entries = Callable[[Shape], Any] | str


def fan_in(shape: Shape) -> int:
    return shape[1] * math.prod(shape[2:])


def fan_out(shape: Shape) -> int:
    return shape[0] * math.prod(shape[2:])


def symmetric_uniform(variance: float) -> Any:
    bound = math.sqrt(3 * variance)
    return stats.uniform(-bound, 2 * bound)


def normal(variance: float) -> Any:
    return stats.norm(0, math.sqrt(variance))


def truncated_normal(variance: float) -> Any:
    """Keras' and JAX's: a normal cut at 2 of its std, so wide that the variance is right after the cut."""
    return stats.truncnorm(-2, 2, 0, math.sqrt(variance) / stats.truncnorm(-2, 2).std())


SCHEMES: dict[str, Entries] = {
    "constant:val=0.3": FIXED,
    "zeros": FIXED,
    "ones": FIXED,
    "eye": FIXED,
    "dirac": FIXED,
    "zero_hadamard": FIXED,
    "sparse:sparsity=0.25:std=0.5": DEPENDENT,
    "orthogonal": DEPENDENT,
    "orthogonal:gain=2.0": DEPENDENT,
    "delta_orthogonal": DEPENDENT,
    "delta_orthogonal:gain=tanh": DEPENDENT,
    "uniform:a=-0.5:b=2.0": lambda shape: stats.uniform(-0.5, 2.5),
    "normal:mean=1.0:std=0.5": lambda shape: stats.norm(1.0, 0.5),
    "trunc_normal:mean=0.2:std=1.5:a=-1.0:b=2.0": lambda shape: stats.truncnorm(-1.2 / 1.5, 1.8 / 1.5, 0.2, 1.5),
    # torch's bounds are values, not multiples of std: at std=0.02 the bounds of 2 cut nothing
    "trunc_normal:std=0.02": lambda shape: stats.norm(0, 0.02),
    # so narrow that the density is flat on it
    "trunc_normal:std=1000.0:a=-0.001:b=0.001": lambda shape: stats.uniform(-0.001, 0.002),
    "variance_scaling": lambda shape: truncated_normal(1 / fan_in(shape)),
    "variance_scaling:scale=3.0:mode=fan_out": lambda shape: truncated_normal(3 / fan_out(shape)),
    "variance_scaling:scale=0.5:distribution=normal": lambda shape: normal(0.5 / fan_in(shape)),
    "variance_scaling:mode=fan_geo_avg:distribution=normal": lambda shape: normal(
        1 / math.sqrt(fan_in(shape) * fan_out(shape))
    ),
    "variance_scaling:mode=fan_avg:distribution=uniform": lambda shape: symmetric_uniform(
        2 / (fan_in(shape) + fan_out(shape))
    ),
    "xavier_uniform": lambda shape: symmetric_uniform(2 / (fan_in(shape) + fan_out(shape))),
    "xavier_normal": lambda shape: normal(2 / (fan_in(shape) + fan_out(shape))),
    "xavier_normal:gain=tanh": lambda shape: normal((5 / 3) ** 2 * 2 / (fan_in(shape) + fan_out(shape))),
    "xavier_normal:truncated=true": lambda shape: truncated_normal(2 / (fan_in(shape) + fan_out(shape))),
    "he_uniform": lambda shape: symmetric_uniform(2 / fan_in(shape)),
    "he_normal": lambda shape: normal(2 / fan_in(shape)),
    "he_normal:mode=fan_out": lambda shape: normal(2 / fan_out(shape)),
    "he_normal:truncated=true": lambda shape: truncated_normal(2 / fan_in(shape)),
    "lecun_uniform": lambda shape: symmetric_uniform(1 / fan_in(shape)),
    "lecun_normal": lambda shape: normal(1 / fan_in(shape)),
    "lecun_normal:truncated=true": lambda shape: truncated_normal(1 / fan_in(shape)),
    "default": lambda shape: symmetric_uniform(1 / (3 * fan_in(shape))),
}

SHAPES: dict[str, Shape] = {
    "square": (96, 96),
    "wide": (24, 300),
    "tall": (300, 24),
    "conv1d": (32, 16, 5),
    "conv2d": (32, 16, 3, 3),
    "conv2d that narrows": (16, 32, 3, 3),
    "conv3d": (16, 8, 3, 3, 3),
    "grouped": (48, 8, 3, 3),  # torch's weight has the input channels of one group, so fan_in is 72
    "depthwise": (64, 1, 5, 5),
    "depthwise that widens": (96, 1, 4),
}
GROUPS = {"grouped": 4, "depthwise": 64, "depthwise that widens": 32}  # 1 for the others
