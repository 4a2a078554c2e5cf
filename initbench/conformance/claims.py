"""What a scheme claims of its weights, held against pooled draws: mean, std, distribution, support, singular values.

Tolerances are sampling errors: 5 standard errors of a mean and of a std, p > 1e-4 for Kolmogorov and Smirnov's test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from initbench.conformance.findings import Outcome
from initbench.schemes import SchemeSpec
from initbench.schemes.catalogue import Distribution

STANDARD_ERRORS = 5
STANDARD_ERRORS_OF_SUMS = 6  # their squares are skewed
SMALLEST_P = 1e-4
GAIN_TOLERANCE = 1e-5
ROUNDING = 1e-6  # relative, of float32 values: 8 units in the last place
TESTED = 50_000  # entries that the distribution is tested on: enough to tell N(0, s²) from that cut at ±2.5 s
SPAN = 50.0  # in std: how far from the median a distribution is integrated
STEPS = 8_001

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean, std and kurtosis (3 of a normal) of a distribution."""

    mean: float
    std: float
    kurtosis: float


def moments(distribution: Distribution) -> Moments:
    """Return the moments that `distribution.cdf` has, integrated within 50 std of its median."""
    scale = float(distribution.std())
    centre = _median(distribution, scale)
    if scale == 0:
        return Moments(centre, 0.0, 3.0)
    edges = centre + scale * np.sinh(np.linspace(-math.asinh(SPAN), math.asinh(SPAN), STEPS))
    edges = np.clip(edges, *distribution.support())
    mass = np.diff(distribution.cdf(edges))
    middles = (edges[1:] + edges[:-1]) / 2
    mean = float(mass @ middles / mass.sum())
    squares = (middles - mean) ** 2
    variance = float(mass @ squares / mass.sum())
    return Moments(mean, math.sqrt(variance), float(mass @ squares**2 / mass.sum()) / variance**2)


def _median(distribution: Distribution, scale: float) -> float:
    """Return the median, by bisection between ends that are doubled until it lies between them."""
    width = scale or 1.0
    while not (float(distribution.cdf(-width)) < 0.5 <= float(distribution.cdf(width))):
        width *= 2
        if not math.isfinite(width):
            raise ValueError("the claimed cdf does not go from 0 to 1")
    low, high = -width, width
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(distribution.cdf(middle)) < 0.5 else (low, middle)
    return high


@dataclass(frozen=True)
class Sample:
    """Draws [K, out, in, *kernel] of one weight, each with another seed, and what it belongs to."""

    spec: SchemeSpec
    draws: Tensor
    groups: int
    activation: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return [out, in, *kernel]."""
        return tuple(self.draws.shape[1:])

    @property
    def is_random(self) -> bool:
        """Return whether the draws differ."""
        return not bool((self.draws == self.draws[0]).all())

    @cached_property
    def entries(self) -> Floats:
        """Return all entries of all draws [K, n], in float64."""
        return self.draws.flatten(1).to(torch.float64).numpy()

    @cached_property
    def distribution(self) -> Distribution | None:
        """Return the claimed distribution of each entry."""
        return self.spec.distribution(self.shape, self.activation, self.groups)

    @cached_property
    def moments(self) -> Moments | None:
        """Return the moments of the claimed distribution."""
        return moments(self.distribution) if self.distribution else None

    @cached_property
    def std(self) -> float | None:
        """Return the claimed std."""
        return self.spec.std(self.shape, self.activation, self.groups)


def mean(sample: Sample) -> Outcome | None:
    """Hold the mean of all entries against that of the claimed distribution."""
    claimed, entries = sample.moments, sample.entries
    if claimed is None:
        return None
    tolerance = STANDARD_ERRORS * claimed.std / math.sqrt(entries.size) + _rounding(entries)
    return _near(claimed.mean, float(entries.mean()), tolerance)


def std(sample: Sample) -> Outcome | None:
    """Hold the std around the mean of a draw against the claimed one."""
    claimed, entries = sample.std, sample.entries
    if claimed is None:
        return None
    measured = math.sqrt(float(entries.var(axis=1).mean()))
    error = _std_error(sample, claimed, entries) if sample.is_random else 0.0
    # a draw's own mean takes 1/n of the variance
    return _near(claimed, measured, STANDARD_ERRORS * error + _rounding(entries) + claimed / entries.shape[1])


def _std_error(sample: Sample, claimed: float, entries: Floats) -> float:
    """Return the standard error of a std measured on `entries` [K, n]: std sqrt((kurtosis - 1) / (4 K n)).

    Where no distribution is claimed the kurtosis is the sample's, and the entries may depend on each other: then the
    standard error is at least that which the spread over the K draws shows.
    """
    if sample.moments is not None:
        return claimed * math.sqrt((sample.moments.kurtosis - 1) / (4 * entries.size))
    centred = entries - entries.mean()
    variance = float((centred**2).mean())
    if not (variance and claimed):
        return 0.0
    kurtosis = float((centred**4).mean()) / variance**2
    spread = float(entries.var(axis=1).std(ddof=1)) / math.sqrt(len(entries)) / (2 * claimed)
    return max(claimed * math.sqrt((kurtosis - 1) / (4 * entries.size)), spread)


def _near(claimed: float, measured: float, tolerance: float) -> Outcome:
    deviation = abs(measured - claimed) / tolerance if tolerance else (math.inf if measured != claimed else 0.0)
    shown = claimed if abs(claimed) > tolerance / 1e6 else 0.0  # the mean of a symmetric distribution comes to 1e-17
    return Outcome(f"{shown:.5g} ± {tolerance:.1g}", f"{measured:.5g}", deviation <= 1, deviation)


def _rounding(entries: Floats) -> float:
    return ROUNDING * float(np.abs(entries).max())


def distribution(sample: Sample) -> Outcome | None:
    """Test the entries against the claimed distribution (Kolmogorov & Smirnov); equal ones need no test."""
    claimed = sample.distribution
    if claimed is None or claimed.std() == 0:  # that all are equal is what mean and std say
        return None
    p = kolmogorov_p(sample.entries.ravel()[:TESTED], claimed)
    return Outcome(f"{_name(claimed)}, p > {SMALLEST_P:g}", f"p = {p:.2g}", p > SMALLEST_P, -math.log(max(p, 1e-300)))


def kolmogorov_p(entries: Floats, claimed: Distribution) -> float:
    """Return P(sqrt(n) sup|F_n - F| is larger), for many entries [n]: as scipy's kstest, which sorts four times."""
    from scipy.special import kolmogorov

    below = np.asarray(claimed.cdf(np.sort(entries)))
    steps = np.arange(1, len(entries) + 1) / len(entries)
    largest = max((steps - below).max(), (below - steps).max() + 1 / len(entries))
    return float(kolmogorov(math.sqrt(len(entries)) * largest))


def _name(claimed: Distribution) -> str:
    """Return a distribution's name: scipy's own, or its class."""
    of_scipy = getattr(claimed, "dist", None)
    return str(getattr(of_scipy, "name", type(claimed).__name__))


def independence(sample: Sample) -> Outcome | None:
    """Hold sums over rows and columns, of entries and of their squares, against those of independent entries.

    A sum of n independent standardized values has variance n. It has more where entries repeat, less where they make
    up for each other, as those of orthogonal matrices do. The ratio farthest from 1, in standard errors, is shown.
    """
    if sample.moments is None or not sample.moments.std or not sample.is_random:
        return None
    entries = sample.draws.flatten(2).to(torch.float64).numpy()  # [K,O,I]
    ratios = []
    for values in (entries, (entries - entries.mean()) ** 2):
        standardized = (values - values.mean()) / values.std()
        for axis in (1, 2):
            squares = standardized.sum(axis) ** 2 / standardized.shape[axis]
            error = max(float(squares.std()), math.sqrt(2)) / math.sqrt(squares.size)
            ratios.append((abs(float(squares.mean()) - 1) / error, float(squares.mean()), error))
    deviation, ratio, error = max(ratios)
    tolerance = STANDARD_ERRORS_OF_SUMS * error
    return Outcome(f"1 ± {tolerance:.1g}", f"{ratio:.3g}", abs(ratio - 1) <= tolerance, deviation)


def support(sample: Sample) -> Outcome | None:
    """Hold the smallest and the largest entry against the bounds of the claimed distribution, where it has some."""
    claimed = sample.distribution
    low, high = claimed.support() if claimed else (-math.inf, math.inf)
    if not (math.isfinite(low) or math.isfinite(high)):
        return None
    entries = sample.entries
    smallest, largest = float(entries.min()), float(entries.max())
    slack = ROUNDING * max(abs(end) for end in (low, high) if math.isfinite(end))
    beyond = max(low - smallest, largest - high)
    return Outcome(f"{low:.5g} to {high:.5g}", f"{smallest:.5g} to {largest:.5g}", beyond <= slack, beyond)


def gain(sample: Sample) -> Outcome | None:
    """Hold the singular values of the weight [out, in * kernel size] against the claimed gain."""
    if sample.spec.scheme.gain is None:
        return None
    claimed = float(sample.spec.scheme.gain(**sample.spec.resolved(sample.activation)))
    values = torch.linalg.svdvals(sample.draws[0].flatten(1).to(torch.float64))
    deviation = float((values - claimed).abs().max())
    measured = f"{float(values.min()):.7g} to {float(values.max()):.7g}"
    return Outcome(f"all {claimed:.7g}", measured, deviation <= GAIN_TOLERANCE * abs(claimed), deviation)


def alike(sample: Sample) -> Outcome:
    """Say how many units start with weights of their own: alike units stay alike in training."""
    rows = sample.draws[0].flatten(1)
    distinct = len(torch.unique(rows, dim=0))
    words = {1: "all alike", len(rows): "all differ"}
    return Outcome("", words.get(distinct, f"{distinct} of {len(rows)} differ"), None, 1 - distinct / len(rows))


def rank(sample: Sample) -> Outcome:
    """Say how many dimensions the weight [out, in * kernel size] keeps apart."""
    matrix = sample.draws[0].flatten(1).to(torch.float64)
    full, found = min(matrix.shape), int(torch.linalg.matrix_rank(matrix, rtol=ROUNDING))
    return Outcome("", f"{found} of {full}", None, 1 - found / full)


Hold = Callable[[Sample], Outcome | None]
CHECKS: dict[str, Hold] = {
    "mean": mean,
    "std": std,
    "distribution": distribution,
    "independence": independence,
    "support": support,
    "singular values": gain,
    "units": alike,
    "rank": rank,
}
