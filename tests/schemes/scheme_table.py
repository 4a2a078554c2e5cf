"""The one table of the scheme tests: a new scheme is one new row.

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


SCHEMES: dict[str, Entries] = {
    "constant:val=0.3": FIXED,
    "zeros": FIXED,
    "ones": FIXED,
    "eye": FIXED,
    "dirac": FIXED,
    "sparse:sparsity=0.25:std=0.5": DEPENDENT,
    "orthogonal": DEPENDENT,
    "orthogonal:gain=2.0": DEPENDENT,
    "uniform:a=-0.5:b=2.0": lambda shape: stats.uniform(-0.5, 2.5),
    "normal:mean=1.0:std=0.5": lambda shape: stats.norm(1.0, 0.5),
    "trunc_normal:mean=0.2:std=1.5:a=-1.0:b=2.0": lambda shape: stats.truncnorm(-1.2 / 1.5, 1.8 / 1.5, 0.2, 1.5),
    # torch's bounds are values, not multiples of std: at std=0.02 the bounds of 2 cut nothing
    "trunc_normal:std=0.02": lambda shape: stats.norm(0, 0.02),
    "xavier_uniform": lambda shape: symmetric_uniform(2 / (fan_in(shape) + fan_out(shape))),
    "xavier_normal": lambda shape: normal(2 / (fan_in(shape) + fan_out(shape))),
    "xavier_normal:gain=tanh": lambda shape: normal((5 / 3) ** 2 * 2 / (fan_in(shape) + fan_out(shape))),
    "he_uniform": lambda shape: symmetric_uniform(2 / fan_in(shape)),
    "he_normal": lambda shape: normal(2 / fan_in(shape)),
    "he_normal:mode=fan_out": lambda shape: normal(2 / fan_out(shape)),
    "lecun_uniform": lambda shape: symmetric_uniform(1 / fan_in(shape)),
    "lecun_normal": lambda shape: normal(1 / fan_in(shape)),
    "default": lambda shape: symmetric_uniform(1 / (3 * fan_in(shape))),
}

SHAPES: dict[str, Shape] = {
    "square": (96, 96),
    "wide": (24, 300),
    "tall": (300, 24),
    "conv1d": (32, 16, 5),
    "conv2d": (32, 16, 3, 3),
    "conv3d": (16, 8, 3, 3, 3),
    "depthwise": (64, 1, 5, 5),  # groups = channels: torch's weight has one input channel, so fan_in is 25
}
