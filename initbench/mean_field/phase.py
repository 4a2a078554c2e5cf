"""The phases of an activation in the plane of (sigma_w, sigma_b): ordered, critical, chaotic.

Ordered, chi1 < 1: gradients vanish with depth, and inputs become alike. Chaotic, chi1 > 1: gradients explode, and
inputs that were near drift apart. In between, at chi1 = 1, lies the critical line, the edge of chaos.

Sources: Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos", section 2;
Schoenholz et al. 2017, "Deep information propagation", sections 3 to 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from initbench.errors import SchemeError
from initbench.mean_field.critical_line import Critical, critical_point
from initbench.mean_field.moments import LOG_Q, moments
from initbench.mean_field.variance import (
    HOMOGENEOUS,
    Q_MAX,
    Q_MIN,
    Floats,
    chi1,
    depth_scale,
    fixed_point,
    slope_moment,
)

# Networks could be trained up to a depth of about six depth scales xi_c (Schoenholz et al. 2017). There xi_c
# is the scale of the correlation of two inputs. In the ordered phase it is that of gradients, -1 / log(chi1).
TRAINABLE_DEPTH_SCALES = 6
CRITICAL_TOLERANCE = 1e-6  # of chi1: within it the depth scale is a million layers or more
LINE_POINTS = 25
_WALK = LOG_Q[np.abs(LOG_Q - math.log(Q_MIN * Q_MAX) / 2) < math.log(Q_MAX / Q_MIN) / 2 + 1e-9]  # 0 is in it
_HALVINGS = 24  # of a step of log(10) / 20: they leave 1e-8

Phase = Literal["ordered", "critical", "chaotic"]


class PhasePoint(NamedTuple):
    """Where W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2) leads a network of endless depth."""

    sigma_w: float
    sigma_b: float
    q: float  # the variance that pre-activations end at; inf where it grows without end
    chi1: float  # the factor of squared gradients per layer there
    depth_scale: float  # |1 / log(chi1)| in layers: how many change squared gradients by e; inf where critical
    phase: Phase

    @property
    def trainable_depth(self) -> float:
        """Return about how many layers could be trained, TRAINABLE_DEPTH_SCALES depth scales; inf where critical."""
        return TRAINABLE_DEPTH_SCALES * self.depth_scale


@dataclass(frozen=True)
class PhaseDiagram:
    """The phases of an activation over a grid of W values of sigma_w by B values of sigma_b."""

    activation: str
    sigma_w: Floats  # [W] ascending
    sigma_b: Floats  # [B] ascending
    chi1: Floats  # [B,W]
    q: Floats  # [B,W] inf where it grows without end
    line: tuple[Critical, ...]  # points of the critical line within the ranges, by sigma_b; one for homogeneous ones

    @property
    def depth_scale(self) -> Floats:
        """Return |1 / log(chi1)| [B,W], inf where critical."""
        with np.errstate(divide="ignore"):
            scales: Floats = 1 / np.abs(np.log(self.chi1))
        return np.where(np.abs(self.chi1 - 1) <= CRITICAL_TOLERANCE, math.inf, scales)


def phase_of(chi: float) -> Phase:
    """Return the phase at chi1 = `chi`: critical within CRITICAL_TOLERANCE of 1."""
    if abs(chi - 1) <= CRITICAL_TOLERANCE:
        return "critical"
    return "ordered" if chi < 1 else "chaotic"


def phase_point(activation: str, sigma_w: float, sigma_b: float) -> PhasePoint:
    """Return what depth does at (sigma_w, sigma_b), by the fixed point that V comes to from q = 1.

    At q = 0 and q = inf chi1 is its limit there: sigma_w^2 phi'(0)^2 for tanh, sigma_w^2 / 2 for relu, gelu, silu.
    Raises SchemeError for an unknown activation and a sigma that is negative or not finite.
    """
    point = critical_point(activation, sigma_w=sigma_w, sigma_b=sigma_b)  # checks the three
    q = point.q
    chi = chi1(activation, min(q, Q_MAX), sigma_w)
    phase = phase_of(chi)
    return PhasePoint(sigma_w, sigma_b, q, chi, math.inf if phase == "critical" else abs(depth_scale(chi)), phase)


@lru_cache(maxsize=32)
def phase_diagram(
    activation: str,
    *,
    sigma_w: tuple[float, float] | None = None,
    sigma_b: tuple[float, float] | None = None,
    points: tuple[int, int] = (61, 25),
) -> PhaseDiagram:
    """Return the diagram of `activation` over the ranges (first, last) of sigma_w and sigma_b, both ends included.

    `points` are W and B. The ranges left out are chosen to show where the critical line begins and where it goes.
    Raises SchemeError for an unknown activation, a range that is not ascending from 0 or more, fewer than 2 points.
    """
    low_b, high_b = _checked("sigma_b", sigma_b or _range_of_sigma_b(activation))
    low_w, high_w = _checked("sigma_w", sigma_w or _range_of_sigma_w(activation, low_b, high_b))
    if min(points) < 2:
        raise SchemeError(f"points={points}: a phase diagram needs 2 or more in each direction.")
    across, up = np.linspace(low_w, high_w, points[0]), np.linspace(low_b, high_b, points[1])
    q = _fixed_points(activation, across, up)
    chi = across**2 * moments(activation, np.minimum(q, Q_MAX)).slope
    line = tuple(point for point in _line(activation, low_b, high_b) if low_w <= point.sigma_w <= high_w)
    return PhaseDiagram(activation, across, up, chi, q, line)


def _checked(name: str, limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not 0 <= low < high < math.inf:
        raise SchemeError(f"{name} from {low:g} to {high:g}: give two finite numbers that ascend from 0 or more.")
    return limits


def _range_of_sigma_b(activation: str) -> tuple[float, float]:
    """Return a range from 0 that holds as much of the critical line beyond its start as lies before it.

    Where it begins at sigma_b = 0, biases as large as the pre-activations there, sqrt(q), or as 1.
    """
    start = critical_point(activation)
    return 0.0, _round_up(max(1.0, 2 * start.sigma_b or math.sqrt(start.q)))


def _range_of_sigma_w(activation: str, low_b: float, high_b: float) -> tuple[float, float]:
    """Return a range with the critical line in its middle, and at each side as much room as it is wide, or half of it.

    Where the line does not come by these sigma_b its start stands for it.
    """
    line = [point.sigma_w for point in _line(activation, low_b, high_b)] or [critical_point(activation).sigma_w]
    room = max(max(line) - min(line), min(line) / 2)
    return max(0.0, _round_up(min(line) - room)), _round_up(max(line) + room)


def _round_up(value: float) -> float:
    """Return `value` rounded up to one decimal."""
    return math.ceil(10 * value - 1e-9) / 10


def _line(activation: str, low_b: float, high_b: float) -> list[Critical]:
    """Return points of the critical line from the lower to the upper limit of sigma_b, closer where it begins.

    There it bends: tanh has sigma_w - 1 ~ sigma_b^(2/3).
    """
    start = critical_point(activation)
    if activation in HOMOGENEOUS or start.sigma_b > high_b:
        return [start] if low_b <= start.sigma_b <= high_b else []
    first = max(start.sigma_b, low_b)
    steps = first + (high_b - first) * np.linspace(0, 1, LINE_POINTS) ** 2
    return [critical_point(activation, sigma_b=sigma_b) for sigma_b in steps.tolist()]


def _fixed_points(activation: str, sigma_w: Floats, sigma_b: Floats) -> Floats:
    """Return `fixed_point` for sigma_w [W] and sigma_b [B], as [B,W], to a relative error of about 1e-6.

    It walks along the table of moments, in steps of 10^(1/20), and then halves the step that it ended in. Two zeros of
    V(q) - q within one step are missed; fixed_point sees those, too.
    """
    if activation in HOMOGENEOUS:
        return _homogeneous_fixed_points(sigma_w**2 * slope_moment(activation, 1.0), sigma_b[:, None] ** 2)
    return np.array([_row_of_fixed_points(activation, sigma_w, value) for value in sigma_b.tolist()])


def _homogeneous_fixed_points(factor: Floats, offset: Floats) -> Floats:
    """Return the fixed points of V(q) = factor q + offset; at factor 1 without an offset every q is one: 1, then."""
    marginal = np.abs(factor - 1) < 1e-13
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where((factor < 1) & ~marginal, offset / (1 - factor), math.inf)
    return np.where(marginal & (offset == 0), 1.0, q)


def _row_of_fixed_points(activation: str, sigma_w: Floats, sigma_b: float) -> Floats:
    """Return the fixed points for sigma_w [W] at one sigma_b, as [W]."""

    def excess(log_q: Floats, some: Floats) -> Floats:
        """Return log V(q) - log q for some of sigma_w."""
        with np.errstate(divide="ignore"):  # V = 0
            image: Floats = np.log(some**2 * moments(activation, np.exp(log_q)).second + sigma_b**2)
        return image - log_q

    def ended(sign: int, walk: Floats, some: Floats, end: float) -> Floats:
        """Return q where the walk in the direction of `sign` ends, for some of sigma_w; `end` if nothing stops it."""
        passed = sign * excess(walk, some[:, None]) <= 0  # [.,G]
        places = passed.argmax(1)  # the first that lies beyond the zero; 0 where none does, as it begins before
        zeros = _halved(lambda log_q: sign * excess(log_q, some), walk[np.maximum(places - 1, 0)], walk[places])
        return np.where(places > 0, zeros, end)

    start = excess(np.zeros_like(sigma_w), sigma_w)
    rises, falls = start > 1e-13, start < -1e-13  # else it stays: selu at sigma_w = 1
    q = np.ones_like(sigma_w)
    q[rises] = ended(1, _WALK[_WALK >= 0], sigma_w[rises], math.inf)
    q[falls] = ended(-1, _WALK[_WALK <= 0][::-1], sigma_w[falls], 0.0)
    for column in np.nonzero(q == 0)[0] if sigma_b > 0 else ():  # it is positive, but lies beyond the walk
        q[column] = fixed_point(activation, float(sigma_w[column]), sigma_b)
    return q


def _halved(f: Callable[[Floats], Floats], before: Floats, after: Floats) -> Floats:
    """Return exp of the zeros of `f`, each between a point `before` it, where f > 0, and one `after`."""
    for _ in range(_HALVINGS):
        middle = (before + after) / 2
        ahead = f(middle) > 0
        before, after = np.where(ahead, middle, before), np.where(ahead, after, middle)
    zeros: Floats = np.exp((before + after) / 2)
    return zeros
