"""What a rule claims of its weights: the distribution that each entry is drawn from by itself.

The standard deviations are formulas, so that the catalogue answers without scipy; `cdf` needs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

FLAT = 1e-6  # an interval with less of the normal's mass than this is so narrow that the density is flat on it


@dataclass(frozen=True)
class Normal:
    """N(mean, std_²); all entries equal `mean` where std_ = 0."""

    mean: float
    std_: float

    def std(self) -> float:
        """Return std_."""
        return self.std_

    def cdf(self, x: Any) -> Any:
        """Return P(entry <= x), elementwise: Phi((x - mean) / std_)."""
        from scipy.special import ndtr

        return ndtr((x - self.mean) / self.std_) if self.std_ else _step(x, self.mean)

    def support(self) -> tuple[float, float]:
        """Return the real line."""
        return -math.inf, math.inf


@dataclass(frozen=True)
class Uniform:
    """U(low, high); all entries equal `low` where low = high."""

    low: float
    high: float

    def std(self) -> float:
        """Return (high - low) / sqrt(12)."""
        return (self.high - self.low) / math.sqrt(12)

    def cdf(self, x: Any) -> Any:
        """Return P(entry <= x), elementwise."""
        import numpy as np

        if self.low == self.high:
            return _step(x, self.low)
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def support(self) -> tuple[float, float]:
        """Return (low, high)."""
        return self.low, self.high


@dataclass(frozen=True)
class TruncatedNormal:
    """N(mean, std_²) cut to [low, high], which contains the mean; std() is smaller than std_."""

    mean: float
    std_: float
    low: float
    high: float

    def std(self) -> float:
        """Return the std after the cut (Johnson, Kotz & Balakrishnan 1994, section 13.10.1)."""
        if not self.std_:
            return 0.0
        low, high = self._in_stds(self.low), self._in_stds(self.high)
        mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
        if mass < FLAT:
            return Uniform(self.low, self.high).std()
        density_low, density_high = (math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (low, high))
        shift = (density_low - density_high) / mass
        return self.std_ * math.sqrt(1 + (low * density_low - high * density_high) / mass - shift**2)

    def cdf(self, x: Any) -> Any:
        """Return P(entry <= x), elementwise: the normal's share between low and x of that between low and high."""
        import numpy as np
        from scipy.special import ndtr

        if not self.std_:
            return _step(x, self.mean)
        below, above = ndtr(self._in_stds(self.low)), ndtr(self._in_stds(self.high))
        if above - below < FLAT:
            return Uniform(self.low, self.high).cdf(x)
        return np.clip((ndtr(self._in_stds(x)) - below) / (above - below), 0.0, 1.0)

    def support(self) -> tuple[float, float]:
        """Return (low, high)."""
        return self.low, self.high

    def _in_stds(self, x: Any) -> Any:
        return (x - self.mean) / self.std_


def _step(x: Any, at: float) -> Any:
    """Return the distribution function of a constant."""
    import numpy as np

    return np.heaviside(np.subtract(x, at), 1.0)
