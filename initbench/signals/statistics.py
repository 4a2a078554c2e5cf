"""Statistics of one tensor, for numbers of any size: what would overflow or underflow when squared is scaled before.

Where a value is not finite a statistic over it is None, never NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from initbench.activations import BOUNDS
from initbench.results import Histogram

BINS = 64
RANK_SAMPLES = 256  # effective ranks are those of so many samples: enough to tell them apart, and quick
DEAD_SAMPLES = 16  # fewer say nothing of dead units: a healthy ReLU is 0 on half of the inputs
SMALL = 1e-12  # whose square a float32 still holds with all digits, as it does that of the inverse
SATURATED_WITHIN = 0.01  # of an end of a bounded activation
RECTIFIERS = ("relu", "relu6")


class Scaled:
    """A tensor as values times `scale`: 1, or its largest magnitude where no float32 could hold that one's square.

    `finite` is the share of entries that are neither NaN nor infinite; where it is not 1 there are no values. `low` and
    `high` are the smallest and the largest entry.
    """

    def __init__(self, value: Tensor) -> None:
        self.shape = value.shape
        self.eps = torch.finfo(value.dtype).eps
        self.low, self.high = (float(end) for end in torch.aminmax(value))
        largest = max(abs(self.low), abs(self.high))
        self.finite = 1.0 if math.isfinite(largest) else float(value.isfinite().double().mean())
        self.scale = 1.0 if largest == 0 or SMALL < largest < 1 / SMALL else largest
        self._values: Tensor | None = None
        if math.isfinite(largest):
            # of denormal numbers 1 / scale would overflow
            wide = value.double() if 0 < largest < torch.finfo(value.dtype).tiny else value
            self._values = wide if self.scale == 1 else wide / self.scale

    @property
    def values(self) -> Tensor:
        """Return the values; raises ValueError where not all entries are finite."""
        if self._values is None:
            raise ValueError("not all entries are finite")
        return self._values

    @property
    def mean(self) -> float | None:
        """Return the mean of all entries."""
        return float(self.values.mean()) * self.scale if self.finite == 1 else None

    @property
    def std(self) -> float | None:
        """Return the standard deviation of all N entries, N - 1 in the denominator; None for N = 1."""
        return float(self.values.std()) * self.scale if self.finite == 1 and self.values.numel() > 1 else None

    @property
    def rms(self) -> float | None:
        """Return the root of the mean square of all entries."""
        return math.sqrt(float(self.values.square().mean())) * self.scale if self.finite == 1 else None

    @property
    def norm(self) -> float | None:
        """Return the Euclidean norm of all entries; None where it is not finite."""
        of_all = float(self.values.norm()) * self.scale if self.finite == 1 else math.inf
        return of_all if math.isfinite(of_all) else None


def sample_std(scaled: Scaled) -> float | None:
    """Return the root of the mean, over all entries of a tensor [B, ...], of the variance over B; None for B = 1."""
    if scaled.finite < 1 or scaled.shape[0] < 2:
        return None
    return math.sqrt(float(scaled.values.var(0).mean())) * scaled.scale


def saturated(value: Tensor, activation: str | None) -> float | None:
    """Return the share of entries within 0.01 of an end of a bounded activation; None where it is not bounded."""
    if activation not in BOUNDS:
        return None
    low, high = BOUNDS[activation]
    ends = (value <= low + SATURATED_WITHIN) | (value >= high - SATURATED_WITHIN)
    return float(ends.float().mean())


def dead(units: Tensor, activation: str | None) -> float | None:
    """Return the share of units [N, U] that are 0 on all N; None where the activation is no rectifier."""
    if activation not in RECTIFIERS:
        return None
    return float((units == 0).all(0).float().mean())


def effective_rank(scaled: Scaled) -> float | None:
    """Return exp(H(p)), p_i = s_i / sum s, s the singular values of a tensor [B, ...] less its mean over B.

    Of at most RANK_SAMPLES samples. Singular values that rounding alone can cause do not count; 0.0 where none is
    left: all samples are alike. None for B = 1. Source: Roy & Vetterli 2007, "The effective rank".
    """
    if scaled.finite < 1 or scaled.shape[0] < 2:
        return None
    rows = scaled.values[:RANK_SAMPLES].flatten(1).double()  # whose squares lose no digit of a float32
    centred = rows - rows.mean(0)
    singular = torch.linalg.eigvalsh(centred @ centred.mT).clamp(min=0).sqrt()  # [B]
    singular = singular[singular > scaled.eps * float(rows.norm())]
    if not len(singular):
        return 0.0
    p = singular / singular.sum()
    return float(torch.exp(-(p * p.log()).sum()))


def histogram(value: Tensor, scaled: Scaled) -> Histogram | None:
    """Return the counts of the finite entries in BINS bins between the smallest and the largest; None for none."""
    finite = value if scaled.finite == 1 else value[value.isfinite()]
    if not finite.numel():
        return None
    ends = scaled if scaled.finite == 1 else Scaled(finite)
    low, high = ends.low, ends.high
    if not low < high:
        return Histogram(low=low, high=high, counts=(finite.numel(),))
    if not math.isfinite(high - low):
        return None
    places = ((finite.double() - low) * (BINS / (high - low))).long().clamp_(0, BINS - 1)
    return Histogram(low=low, high=high, counts=tuple(torch.bincount(places.flatten(), minlength=BINS).tolist()))


def symmetry(rows: Tensor) -> float | None:
    """Return how alike the rows w_i [U, ...] are: mean over pairs i != j of <w_i, w_j>, over the mean of |w_i|^2.

    1 where all are equal (also where all are 0), about 0 where they are independent, at least -1 / (U - 1). None for
    one row, or values that are not finite.
    """
    units, scaled = len(rows), Scaled(rows)
    if units < 2 or scaled.finite < 1:
        return None
    values = scaled.values.flatten(1)
    mean_square = float(values.square().sum(1).mean())
    if mean_square == 0:
        return 1.0
    of_mean = float(values.mean(0).square().sum())
    return (units * of_mean / mean_square - 1) / (units - 1)
