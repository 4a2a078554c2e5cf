"""How sure a mean and a paired difference are: bootstrap intervals, the sign-flip test, Holm's correction.

Pure functions on a sequence of numbers, one for each seed. Their own random draws come from fixed streams, and the
values are sorted first: the same values give the same result, in whatever order the seeds came.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from initbench.errors import UsageError
from initbench.seeds import derive

RESAMPLES = 9_999  # of the bootstrap: an odd 10^k - 1, so that the quantiles fall on resampled values
EXACT_MAX_N = 16  # up to here all 2^n sign patterns are enumerated
FLIPS = 99_999  # sign patterns drawn beyond EXACT_MAX_N: the standard error of p = .05 is .0007
_FLIPS_AT_ONCE = 11_111  # divides FLIPS; bounds the memory for many seeds
_TIE = 1e-12  # two sums closer than this, relative to the sum of sizes, differ by rounding alone

Floats = npt.NDArray[np.float64]
Method = Literal["bca", "percentile"]


class Interval(NamedTuple):
    """A confidence interval of a mean, in the unit of the values, and the bootstrap that it comes from."""

    low: float
    high: float
    method: Method


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Return the bootstrap interval of the mean of `values` [n], or None for n < 2.

    BCa (bias-corrected and accelerated), which is second-order accurate for skewed values; percentile where BCa is
    undefined, because the values are identical or so close that their spread underflows.

    Raises UsageError where a value is not finite or `confidence` is not in (0, 1).
    Source: Efron 1987, "Better bootstrap confidence intervals", section 2.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence!r}; it must lie between 0 and 1, such as 0.95.")
    x = _sorted_finite(values)
    if x.size < 2:
        return None
    if x[0] == x[-1]:
        return Interval(float(x[0]), float(x[0]), "percentile")
    bounds = _bootstrap(x, confidence, "BCa")
    if np.isfinite(bounds).all():
        return _within(bounds, x, "bca")
    return _within(_bootstrap(x, confidence, "percentile"), x, "percentile")


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the paired sign-flip test of "the mean difference is 0".

    p = #{s in {-1, +1}^n : |sum s_i d_i| >= |sum d_i|} / 2^n, enumerated for n <= 16; beyond, (b + 1) / (m + 1) with b
    such patterns among m random ones. scipy's permutation_test takes its tolerance for ties from the observed mean,
    and so misses ties where the differences cancel; here it comes from their sizes.

    Raises UsageError where there are no differences or one is not finite.
    Source: Fisher 1935, "The Design of Experiments", section 21; Phipson & Smyth 2010 for (b + 1) / (m + 1).
    """
    d = _sorted_finite(differences)
    if d.size == 0:
        raise UsageError("the sign-flip test got no differences; it needs at least one.")
    sizes = np.sort(np.abs(d))
    reached = abs(math.fsum(d)) - _TIE * math.fsum(sizes)
    if d.size <= EXACT_MAX_N:
        return float(np.mean(np.abs(_every_sign(d.size) @ sizes) >= reached))
    return (_flips_reaching(reached, sizes) + 1) / (FLIPS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for testing all of them, in the order given.

    With p_(1) <= ... <= p_(m): adjusted p_(k) = max over j <= k of min(1, (m - j + 1) p_(j)).

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepwise = np.arange(p.size, 0, -1) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepwise), 1.0)
    return [float(value) for value in adjusted]


def smallest_p(n: int) -> float:
    """Return the smallest p that the two-sided sign-flip test can give with `n` differences: 2^(1-n), at most 1."""
    return min(1.0, 2.0 ** (1 - n))


def seeds_needed(pairs: int, alpha: float = 0.05) -> int:
    """Return the smallest n with pairs * 2^(1-n) <= alpha: the seeds with which `pairs` tests under Holm can tell."""
    n = 1
    while pairs * smallest_p(n) > alpha:
        n += 1
    return n


def _sorted_finite(values: Sequence[float]) -> Floats:
    """Return `values` sorted, as float64 [n]; raises UsageError where one is not finite."""
    x = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(x).all():
        raise UsageError(f"statistics need finite values, got {float(x[~np.isfinite(x)][0])}; leave such runs out.")
    return x


def _bootstrap(x: Floats, confidence: float, method: Literal["BCa", "percentile"]) -> Floats:
    """Return (low, high) of the mean of `x` [n], always from the same resampling stream."""
    generator = np.random.default_rng(derive(0, "bootstrap"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a degenerate BCa shows as nan, which the caller answers
        result = stats.bootstrap(
            (x,),
            np.mean,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=confidence,
            method=method,
            rng=generator,
        )
    return np.array([result.confidence_interval.low, result.confidence_interval.high], dtype=np.float64)


def _within(bounds: Floats, x: Floats, method: Method) -> Interval:
    """Return `bounds` kept inside the range of `x`, where every mean lies but for its rounding."""
    low, high = np.clip(bounds, x[0], x[-1])
    return Interval(float(low), float(high), method)


def _every_sign(n: int) -> Floats:
    """Return the sign patterns of n numbers with the last one fixed at +: [2^(n-1), n].

    The other half are their negatives, which have the same absolute sums.
    """
    patterns = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)[None, :] & 1  # bit n-1 is 0 throughout
    return np.where(patterns == 1, -1.0, 1.0)


def _flips_reaching(reached: float, sizes: Floats) -> int:
    """Return how many of FLIPS random sign patterns have an absolute sum of at least `reached`."""
    generator = np.random.default_rng(derive(0, "permutation"))
    count = 0
    for _ in range(FLIPS // _FLIPS_AT_ONCE):
        signs = 1.0 - 2.0 * generator.integers(0, 2, size=(_FLIPS_AT_ONCE, sizes.size))
        count += int(np.count_nonzero(np.abs(signs @ sizes) >= reached))
    return count
