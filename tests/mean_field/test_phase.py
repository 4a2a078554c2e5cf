"""Phases and the phase diagram: against the definitions, iterated and integrated in the test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mean_field.definitions import PHI, chi, settled, variance
from scipy.optimize import brentq

from initbench.errors import SchemeError
from initbench.mean_field import (
    CRITICAL_TOLERANCE,
    CURVES,
    TRAINABLE_DEPTH_SCALES,
    PhaseDiagram,
    critical_point,
    phase_diagram,
    phase_of,
    phase_point,
)
from initbench.mean_field.variance import HOMOGENEOUS

SIDES = [  # activation, sigma_b, an ordered and a chaotic sigma_w where V settles
    ("tanh", 0.3, 0.9, 1.8),
    ("tanh", 1.0, 1.5, 2.5),
    ("sigmoid", 0.5, 7.0, 13.0),
    ("softsign", 0.4, 1.0, 3.0),
    ("elu", 0.3, 0.8, 1.3),
    ("selu", 0.3, 0.6, 1.05),
]
ORDERED_ONLY = [
    ("relu", 0.5, 1.2),
    ("leaky_relu", 0.3, 1.1),
    ("linear", 0.3, 0.8),
    ("gelu", 0.6, 1.2),
    ("silu", 0.9, 1.2),
]


@pytest.fixture(scope="module")
def diagrams() -> dict[str, PhaseDiagram]:
    return {activation: phase_diagram(activation) for activation in CURVES}


@pytest.mark.parametrize(
    ("activation", "sigma_b", "sigma_w", "phase"),
    [
        *((name, sigma_b, low, "ordered") for name, sigma_b, low, _ in SIDES),
        *((name, sigma_b, high, "chaotic") for name, sigma_b, _, high in SIDES),
        *((name, sigma_b, sigma_w, "ordered") for name, sigma_b, sigma_w in ORDERED_ONLY),
    ],
)
def test_a_point_equals_what_the_definition_comes_to(
    activation: str, sigma_b: float, sigma_w: float, phase: str
) -> None:
    q = settled(activation, sigma_w, sigma_b)
    factor = chi(activation, q, sigma_w)
    point = phase_point(activation, sigma_w, sigma_b)
    assert point[:5] == pytest.approx((sigma_w, sigma_b, q, factor, 1 / abs(math.log(factor))), rel=1e-6)
    assert point.phase == phase
    assert point.trainable_depth == pytest.approx(6 / abs(math.log(factor)), rel=1e-6)
    assert TRAINABLE_DEPTH_SCALES == 6


@pytest.mark.parametrize(("activation", "sigma_b", "low", "high"), [SIDES[0], SIDES[2], SIDES[5]])
def test_between_the_sides_lies_the_critical_sigma_w(activation: str, sigma_b: float, low: float, high: float) -> None:
    """Where chi1 = 1, solved with plain iteration and integration."""
    excess = lambda sigma_w: chi(activation, settled(activation, sigma_w, sigma_b), sigma_w) - 1  # noqa: E731
    sigma_w = float(brentq(excess, low, high, rtol=1e-9))
    assert critical_point(activation, sigma_b=sigma_b).sigma_w == pytest.approx(sigma_w, rel=1e-7)
    found = phase_point(activation, sigma_w, sigma_b)
    assert found.phase == "critical"
    assert found.depth_scale == found.trainable_depth == math.inf


@pytest.mark.parametrize("activation", CURVES)
def test_phases_at_both_sides_of_the_critical_line(activation: str) -> None:
    for given in ({}, {"sigma_b": 0.9}) if activation not in HOMOGENEOUS else ({},):
        sigma_w, sigma_b, _ = critical_point(activation, **given)
        phases = [phase_point(activation, factor * sigma_w, sigma_b).phase for factor in (0.97, 1.0, 1.03)]
        assert phases == ["ordered", "critical", "chaotic"]


@pytest.mark.parametrize(
    ("activation", "sigma_w", "sigma_b", "q", "chi1"),
    [
        ("tanh", 0.8, 0.0, 0.0, 0.64),  # q = 0: sigma_w^2 phi'(0)^2
        ("silu", 1.0, 0.0, 0.0, 0.25),
        ("relu", 1.0, 0.0, 0.0, 0.5),
        ("relu", 2.0, 0.5, math.inf, 2.0),
        ("relu", math.sqrt(2), 0.5, math.inf, 1.0),  # q grows by sigma_b^2 in each layer
        ("linear", 1.0, 0.0, 1.0, 1.0),
        ("elu", 2.0, 0.0, math.inf, 2.0),  # far out it is a relu
        ("gelu", 2.0, 0.1, math.inf, 2.0),
        ("selu", 1.4, 0.1, math.inf, 1.4**2 * 1.0507009873554805**2 / 2),
        ("tanh", 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_at_q_0_and_without_an_end_chi1_is_its_limit(
    activation: str, sigma_w: float, sigma_b: float, q: float, chi1: float
) -> None:
    point = phase_point(activation, sigma_w, sigma_b)
    assert (point.q, point.chi1) == pytest.approx((q, chi1), rel=1e-6)
    assert point.phase == ("critical" if chi1 == 1 else "ordered" if chi1 < 1 else "chaotic")


def test_the_phase_has_a_tolerance() -> None:
    off = 2 * CRITICAL_TOLERANCE
    assert [phase_of(1 + by) for by in (-off, -off / 4, 0, off / 4, off)] == [
        "ordered",
        "critical",
        "critical",
        "critical",
        "chaotic",
    ]


@pytest.mark.parametrize("activation", CURVES)
def test_each_place_of_a_diagram_is_its_point(activation: str, diagrams: dict[str, PhaseDiagram]) -> None:
    diagram = diagrams[activation]
    assert diagram.chi1.shape == diagram.q.shape == diagram.depth_scale.shape == (25, 61)
    for row, column in [(0, 0), (0, 60), (3, 22), (12, 30), (16, 35), (24, 40), (24, 60)]:
        point = phase_point(activation, float(diagram.sigma_w[column]), float(diagram.sigma_b[row]))
        assert diagram.q[row, column] == pytest.approx(point.q, rel=1e-5, abs=1e-30)
        assert diagram.chi1[row, column] == pytest.approx(point.chi1, rel=1e-5)
        assert diagram.depth_scale[row, column] == pytest.approx(point.depth_scale, rel=1e-3)


@pytest.mark.parametrize("activation", CURVES)
def test_its_ranges_hold_the_start_of_the_line_and_both_phases(
    activation: str, diagrams: dict[str, PhaseDiagram]
) -> None:
    diagram, start = diagrams[activation], critical_point(activation)
    assert diagram.sigma_w[0] < start.sigma_w < diagram.sigma_w[-1]
    assert diagram.sigma_b[0] == 0 <= start.sigma_b < diagram.sigma_b[-1]
    assert diagram.line[0] == start
    assert 0.2 < (diagram.chi1 < 1).mean() < 0.8


@pytest.mark.parametrize("activation", PHI)
def test_its_line_is_critical_by_the_definition(activation: str, diagrams: dict[str, PhaseDiagram]) -> None:
    line = diagrams[activation].line
    assert len(line) == 1 if activation in HOMOGENEOUS else len(line) > 20
    assert [point.sigma_b for point in line] == sorted({point.sigma_b for point in line})
    for sigma_w, sigma_b, q in line[1::8]:
        assert chi(activation, q, sigma_w) == pytest.approx(1, abs=1e-7)
        assert variance(activation, q, sigma_w, sigma_b) == pytest.approx(q, rel=1e-7)


def test_ranges_and_points_can_be_given() -> None:
    diagram = phase_diagram("tanh", sigma_w=(0.0, 4.0), sigma_b=(0.5, 2.0), points=(5, 4))
    np.testing.assert_allclose(diagram.sigma_w, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(diagram.sigma_b, [0.5, 1, 1.5, 2])
    assert diagram.line[0].sigma_b == 0.5
    np.testing.assert_allclose(diagram.q[:, 0], diagram.sigma_b**2)
    np.testing.assert_array_equal(diagram.chi1[:, 0], 0)
    np.testing.assert_array_equal(diagram.depth_scale[:, 0], 0)
    assert phase_diagram("relu", sigma_b=(0.5, 1)).line == ()
    assert phase_diagram("gelu", sigma_b=(0.0, 0.2)).line == ()
    tiny = phase_diagram("tanh", sigma_w=(0.5, 0.6), sigma_b=(1e-10, 2e-10), points=(2, 2))  # below the table
    assert tiny.q[0, 0] == pytest.approx(1e-20 / (1 - 0.25), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sigma_w": (2.0, 1.0)}, "sigma_w from 2 to 1: give two finite numbers that ascend from 0"),
        ({"sigma_b": (-1.0, 1.0)}, "sigma_b from -1 to 1"),
        ({"sigma_b": (0.0, math.inf)}, "sigma_b from 0 to inf"),
        ({"sigma_w": (math.nan, 1.0)}, "sigma_w from nan to 1"),
        ({"points": (1, 5)}, "needs 2 or more in each direction"),
    ],
)
def test_bad_ranges_are_told(given: dict[str, tuple[float, float]], message: str) -> None:
    with pytest.raises(SchemeError) as caught:
        phase_diagram("tanh", **given)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_an_unknown_activation_is_told() -> None:
    for asked in (lambda: phase_diagram("tanj"), lambda: phase_point("tanj", 1, 0)):
        with pytest.raises(SchemeError, match=r"unknown activation 'tanj'\. Did you mean 'tanh'"):
            asked()
