"""The tabulated moments against the definitions, and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mean_field.definitions import PHI, mean

from initbench.errors import SchemeError
from initbench.mean_field import CURVES, moments

VARIANCES = np.array([3e-3, 0.7, 40.0])


def test_all_activations_are_defined_here() -> None:
    assert PHI.keys() == CURVES.keys()


@pytest.mark.parametrize("activation", PHI)
def test_moments_equal_the_definitions(activation: str) -> None:
    phi, slope = PHI[activation]
    found = moments(activation, VARIANCES)
    for place, q in enumerate(VARIANCES.tolist()):
        second = mean(lambda u: phi(u) ** 2, q)
        assert found.second[place] == pytest.approx(second, rel=1e-7)
        assert found.slope[place] == pytest.approx(mean(lambda u: slope(u) ** 2, q), rel=1e-7)
        assert found.growth[place] == pytest.approx(mean(lambda u: u * phi(u) * slope(u), q) / q, rel=1e-7)
        assert found.scatter[place] == pytest.approx(mean(lambda u: (phi(u) ** 2 - second) ** 2, q), rel=1e-6)  # noqa: B023


@pytest.mark.parametrize(
    ("activation", "at_zero", "at_infinity"),  # second, growth, slope, scatter
    [
        ("relu", (0, 1 / 2, 1 / 2, 0), (math.inf, 1 / 2, 1 / 2, math.inf)),
        ("tanh", (0, 1, 1, 0), (1, 0, 0, 0)),
        ("sigmoid", (1 / 4, 1 / 16, 1 / 16, 0), (1 / 2, 0, 0, 1 / 4)),
        ("gelu", (0, 1 / 4, 1 / 4, 0), (math.inf, 1 / 2, 1 / 2, math.inf)),
        ("elu", (0, 1, 1, 0), (math.inf, 1 / 2, 1 / 2, math.inf)),
        ("softsign", (0, 1, 1, 0), (1, 0, 0, 0)),
        ("linear", (0, 1, 1, 0), (math.inf, 1, 1, math.inf)),
    ],
)
def test_limits(activation: str, at_zero: tuple[float, ...], at_infinity: tuple[float, ...]) -> None:
    columns = np.array(moments(activation, np.array([0.0, math.inf]))).T
    np.testing.assert_allclose(columns, [at_zero, at_infinity], rtol=1e-6)


@pytest.mark.parametrize("q", [1e-300, 1e-17, 1e-3, 1e3, 1e17, 1e150])
def test_relu_follows_its_closed_form_within_the_table_and_beyond(q: float) -> None:
    """E[phi^2] = q/2, E[phi^4] = 3 q^2 / 2."""
    found = moments("relu", np.array([q]))
    assert found.second[0] == pytest.approx(q / 2, rel=1e-10)
    assert found.scatter[0] == pytest.approx(5 / 4 * q**2, rel=1e-9)


def test_any_shape_is_kept_and_unknown_names_are_told() -> None:
    assert moments("tanh", np.ones((2, 3))).slope.shape == (2, 3)
    with pytest.raises(SchemeError, match="unknown activation 'tanj'"):
        moments("tanj", np.ones(1))
