"""Mean-field theory against torch's autograd, closed forms, and the definitions integrated and solved by scipy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf, ndtr

from initbench.activations import LEAKY_SLOPE, MODULES, activation_module
from initbench.errors import SchemeError
from initbench.mean_field import (
    CURVES,
    chi1,
    critical_point,
    depth_scale,
    expectation,
    fixed_point,
    second_moment,
    slope_moment,
    variance_map,
    variance_slope,
)
from initbench.mean_field.variance import HOMOGENEOUS, SELU_ALPHA, SELU_SCALE

CURVED = [activation for activation in CURVES if activation not in HOMOGENEOUS]
VARIANCES = [1e-6, 1e-2, 0.3, 1.0, 7.0, 100.0, 1e4]


def test_every_activation_has_its_curve() -> None:
    assert CURVES.keys() == MODULES.keys()


@pytest.mark.parametrize("activation", MODULES)
def test_phi_and_its_slope_equal_torch_and_autograd(activation: str) -> None:
    x = np.concatenate([np.linspace(-40, 40, 801), [1e-9, -1e-9, 1e-3, -1e-3]])
    given = torch.tensor(x, requires_grad=True)
    module = activation_module(activation)  # type: ignore[arg-type]
    output = module(given)
    output.sum().backward()
    assert given.grad is not None
    np.testing.assert_allclose(CURVES[activation].phi(x), output.detach(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(CURVES[activation].slope(x), given.grad, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda z: np.ones_like(z), 1.0),
        (lambda z: z, 0.0),
        (lambda z: z**4, 3.0),
        (lambda z: z**10, 945.0),
        (np.abs, math.sqrt(2 / math.pi)),
        (lambda z: np.maximum(z, 0) ** 3, math.sqrt(2 / math.pi)),
        (lambda z: np.exp(2 * z), math.exp(2)),
        (np.cos, math.exp(-0.5)),
    ],
)
def test_expectation_of_what_has_a_closed_form(f: Callable[..., object], expected: float) -> None:
    assert expectation(f) == pytest.approx(expected, rel=1e-14, abs=1e-15)  # type: ignore[arg-type]


@pytest.mark.parametrize("q", [*VARIANCES, 1e10, 1e16])
def test_expectation_is_sharp_at_every_scale(q: float) -> None:
    """The arcsine formula of Williams 1997, "Computing with infinite networks", and the same for Phi."""
    root = math.sqrt(q)
    arcsine = 2 / math.pi * math.atan(2 * q / math.sqrt(1 + 4 * q))  # = asin(2q / (1 + 2q)), sharp for a large q too
    assert expectation(lambda z: erf(root * z) ** 2) == pytest.approx(arcsine, rel=1e-12)
    shifted = 0.25 + math.atan(q / math.sqrt(1 + 2 * q)) / (2 * math.pi)
    assert expectation(lambda z: ndtr(root * z) ** 2) == pytest.approx(shifted, rel=1e-13)


def exponential_tail(rate: float, q: float) -> float:
    """E[exp(rate sqrt(q) z); z < 0]."""
    shift = rate * math.sqrt(q)
    return math.exp(shift**2 / 2) * float(ndtr(-shift))


def elu_moment(q: float, alpha: float = 1.0, scale: float = 1.0) -> float:
    tail = exponential_tail(2, q) - 2 * exponential_tail(1, q) + 0.5
    return scale**2 * (q / 2 + alpha**2 * tail)


@pytest.mark.parametrize("q", [1e-2, 0.5, 1.0, 8.0])
def test_moments_of_what_has_a_closed_form(q: float) -> None:
    selu = {"alpha": SELU_ALPHA, "scale": SELU_SCALE}
    moments = {
        "relu": q / 2,
        "leaky_relu": q * (1 + LEAKY_SLOPE**2) / 2,
        "linear": q,
        "elu": elu_moment(q),
        "selu": elu_moment(q, **selu),
    }
    slopes = {
        "relu": 0.5,
        "leaky_relu": (1 + LEAKY_SLOPE**2) / 2,
        "linear": 1.0,
        "elu": 0.5 + exponential_tail(2, q),
        "selu": SELU_SCALE**2 * (0.5 + SELU_ALPHA**2 * exponential_tail(2, q)),
    }
    assert {name: second_moment(name, q) for name in moments} == pytest.approx(moments, rel=1e-11)
    assert {name: slope_moment(name, q) for name in slopes} == pytest.approx(slopes, rel=1e-13)


def test_selu_keeps_mean_zero_and_variance_one() -> None:
    """Klambauer et al. 2017: its alpha and scale are made for the fixed point (0, 1) at sum w = 0, sum w^2 = 1."""
    assert expectation(CURVES["selu"].phi) == pytest.approx(0, abs=1e-14)
    assert second_moment("selu", 1.0) == pytest.approx(1, abs=1e-14)
    assert fixed_point("selu", 1.0, 0.0) == 1.0


Scalar = Callable[[float], float]


def logistic(u: float) -> float:
    return 1 / (1 + math.exp(-u)) if u > -700 else 0.0


def normal_cdf(u: float) -> float:
    return math.erfc(-u / math.sqrt(2)) / 2


SCALAR: dict[str, tuple[Scalar, Scalar]] = {
    "tanh": (math.tanh, lambda u: math.cosh(min(abs(u), 300)) ** -2),
    "sigmoid": (logistic, lambda u: logistic(u) * logistic(-u)),
    "softsign": (lambda u: u / (1 + abs(u)), lambda u: (1 + abs(u)) ** -2),
    "elu": (lambda u: u if u > 0 else math.expm1(u), lambda u: 1 if u > 0 else math.exp(u)),
    "silu": (lambda u: u * logistic(u), lambda u: logistic(u) * (1 + u * logistic(-u))),
    "gelu": (
        lambda u: u * normal_cdf(u),
        lambda u: normal_cdf(u) + u * math.exp(-u * u / 2) / math.sqrt(2 * math.pi),
    ),
}


def integrated(f: Scalar, q: float, tolerance: float = 1e-12) -> float:
    """E[f(u)^2], u ~ N(0, q), adaptively, on pieces as wide as f and as the density."""
    std = math.sqrt(q)
    edges = sorted({0.0, *(sign * edge * std for sign in (-1, 1) for edge in (1, 4, 14)), -10.0, -1.0, 1.0, 10.0})
    edges = [edge for edge in edges if abs(edge) <= 14 * std]

    def weighted(u: float) -> float:
        return f(u) ** 2 * math.exp(-u * u / (2 * q)) / math.sqrt(2 * math.pi * q)

    return sum(
        quad(weighted, low, high, epsabs=1e-18, epsrel=tolerance, limit=200)[0]
        for low, high in itertools.pairwise(edges)
    )


@pytest.mark.parametrize("q", [1e-4, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("activation", SCALAR)
def test_moments_equal_adaptive_quadrature(activation: str, q: float) -> None:
    phi, slope = SCALAR[activation]
    assert second_moment(activation, q) == pytest.approx(integrated(phi, q), rel=1e-11)
    assert slope_moment(activation, q) == pytest.approx(integrated(slope, q), rel=1e-11)


@pytest.mark.parametrize("activation", CURVES)
def test_variance_slope_is_the_derivative_of_the_map(activation: str) -> None:
    for q in (1e-3, 1.0, 50.0):
        step = 1e-4 * q
        ahead, behind = (variance_map(activation, q + h, 1.3, 0.2) for h in (step, -step))
        assert variance_slope(activation, q, 1.3) == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


def test_chi1_and_its_depth_scale() -> None:
    assert chi1("relu", 3.0, 1.0) == pytest.approx(0.5)
    assert chi1("linear", 3.0, 0.9) == pytest.approx(0.81)
    assert depth_scale(math.exp(-1 / 7)) == pytest.approx(7)
    assert depth_scale(math.exp(1 / 7)) == pytest.approx(-7)
    assert depth_scale(1.0) == math.inf
    assert depth_scale(0.0) == 0.0


@pytest.mark.parametrize(
    ("activation", "sigma_w", "sigma_b", "expected"),
    [
        ("relu", 1.0, 0.3, 0.09 / (1 - 1 / 2)),  # q = sb^2 / (1 - sw^2 / 2)
        ("relu", 1.4, 1e-3, 1e-6 / (1 - 1.96 / 2)),
        ("linear", 0.5, 2.0, 4 / (1 - 1 / 4)),
        ("relu", math.sqrt(2), 0.0, 1.0),  # all are fixed
        ("relu", 1.41, 0.0, 0.0),
        ("relu", 1.42, 0.0, math.inf),
        ("relu", math.sqrt(2), 0.1, math.inf),  # grows by sb^2 in each layer
        ("linear", 1.0, 1e-3, math.inf),
        ("tanh", 0.9, 0.0, 0.0),
        ("tanh", 1.0, 0.0, 0.0),
        ("tanh", 0.0, 0.3, 0.09),
        ("tanh", 0.5, 1e-10, 1e-20 / (1 - 1 / 4)),  # linear there
        ("gelu", 2.0, 0.0, math.inf),
        ("elu", 1.42, 0.0, math.inf),
    ],
)
def test_fixed_points_that_are_known(activation: str, sigma_w: float, sigma_b: float, expected: float) -> None:
    assert fixed_point(activation, sigma_w, sigma_b) == pytest.approx(expected, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("sigma_b", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("sigma_w", [0.6, 1.38, 5.0])
@pytest.mark.parametrize("activation", CURVED)
def test_the_fixed_point_is_where_the_map_goes(activation: str, sigma_w: float, sigma_b: float) -> None:
    """From 1 the map goes to it without passing it, and arrives where its slope there lets it."""
    q, target = 1.0, fixed_point(activation, sigma_w, sigma_b)
    for _ in range(100):
        q = min(variance_map(activation, q, sigma_w, sigma_b), 1e9)
    assert min(1.0, target) * (1 - 1e-12) <= q <= max(1.0, target) * (1 + 1e-12)
    if 0 < target < math.inf and variance_slope(activation, target, sigma_w) < 0.8:
        assert q == pytest.approx(target, rel=1e-8)


@pytest.mark.parametrize(
    ("activation", "sigma_b", "low", "high"),
    [
        ("tanh", math.sqrt(0.05), 1.0, 2.0),
        ("sigmoid", 0.0, 8.0, 12.0),
        ("sigmoid", 2.0, 8.0, 13.0),
        ("softsign", 0.5, 1.2, 4.0),
        ("elu", 0.3, 1.0, 1.4),
        ("gelu", 0.6, 1.38, 1.41),
        ("silu", 1.5, 1.38, 1.41),
    ],
)
def test_critical_points_equal_those_solved_from_the_definition(
    activation: str, sigma_b: float, low: float, high: float
) -> None:
    """Between `low` and `high` find the sigma_w with chi1 = 1 at its q*, integrated and solved by scipy."""
    phi, slope = SCALAR[activation]

    def settled(sigma_w: float) -> float:
        excess = lambda q: sigma_w**2 * integrated(phi, q, 1e-9) + sigma_b**2 - q  # noqa: E731
        return float(brentq(excess, 0.05, 1e4, rtol=1e-10))

    sigma_w = brentq(lambda sigma_w: sigma_w**2 * integrated(slope, settled(sigma_w), 1e-9) - 1, low, high, rtol=1e-9)
    point = critical_point(activation, sigma_b=sigma_b)
    assert point == pytest.approx((sigma_w, sigma_b, settled(sigma_w)), rel=1e-7)


@pytest.mark.parametrize("sigma_b", [0.8, 1.0, 4.0])
@pytest.mark.parametrize("activation", CURVED)
def test_the_map_comes_to_the_critical_point_from_one(activation: str, sigma_b: float) -> None:
    point = critical_point(activation, sigma_b=sigma_b)
    assert point.sigma_b == sigma_b
    assert chi1(activation, point.q, point.sigma_w) == pytest.approx(1, abs=1e-13)
    assert variance_map(activation, point.q, point.sigma_w, sigma_b) == pytest.approx(point.q, rel=1e-12)
    assert variance_slope(activation, point.q, point.sigma_w) < 1
    assert fixed_point(activation, point.sigma_w, sigma_b) == pytest.approx(point.q, rel=1e-9)


@pytest.mark.parametrize("activation", [activation for activation in CURVED if activation not in ("gelu", "silu")])
def test_sigma_w_and_sigma_b_give_the_same_point(activation: str) -> None:
    for sigma_b in (1e-3, 0.2, 30.0):
        point = critical_point(activation, sigma_b=sigma_b)
        assert critical_point(activation, sigma_w=point.sigma_w) == pytest.approx(point, rel=1e-5)


@pytest.mark.parametrize(("activation", "sigma_b"), [("gelu", 0.7), ("silu", 1.4)])
def test_of_two_points_with_one_sigma_w_the_smaller_sigma_b_is_returned(activation: str, sigma_b: float) -> None:
    far = critical_point(activation, sigma_b=sigma_b)
    near = critical_point(activation, sigma_w=far.sigma_w)
    assert chi1(activation, near.q, far.sigma_w) == pytest.approx(1, abs=1e-13)
    assert near.sigma_b < 0.9 * sigma_b
    assert critical_point(activation, sigma_b=near.sigma_b) == pytest.approx(near, rel=1e-9)


@pytest.mark.parametrize(
    ("activation", "sigma_w"),
    [
        ("tanh", 1.0),
        ("softsign", 1.0),
        ("elu", 1.0),
        ("selu", math.sqrt(2 / (SELU_SCALE**2 * (1 + SELU_ALPHA**2)))),
        ("relu", math.sqrt(2)),
        ("leaky_relu", math.sqrt(2 / (1 + LEAKY_SLOPE**2))),
        ("linear", 1.0),
    ],
)
def test_without_biases_the_critical_sigma_w_has_a_closed_form(activation: str, sigma_w: float) -> None:
    q = 1.0 if activation in HOMOGENEOUS else 0.0
    assert critical_point(activation) == pytest.approx((sigma_w, 0.0, q), rel=1e-14)
    assert critical_point(activation, sigma_w=sigma_w) == pytest.approx((sigma_w, 0.0, q), rel=1e-14)


def test_near_the_origin_tanh_follows_its_expansion() -> None:
    """tanh(u) = u - u^3/3 + 2u^5/15 - ...: to leading order sigma_w^2 = 1 + 2q and sigma_b^2 = 4/3 q^3."""
    for q in (1e-3, 1e-4):
        point = critical_point("tanh", sigma_b=math.sqrt(4 / 3 * q**3))
        assert point.q == pytest.approx(q, rel=10 * q)
        assert point.sigma_w**2 - 1 == pytest.approx(2 * q, rel=10 * q)


def test_both_sigmas_are_returned_as_they_are_with_their_fixed_point() -> None:
    assert critical_point("relu", sigma_w=1.0, sigma_b=0.3) == pytest.approx((1.0, 0.3, 0.18))
    assert critical_point("gelu", sigma_w=2.0, sigma_b=0.0) == (2.0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("activation", "given", "message"),
    [
        ("relu", {"sigma_b": 0.1}, "relu has no critical point at sigma_b=0.1"),
        ("relu", {"sigma_w": 1.0}, "its only one, sigma_w=1.414214 with sigma_b=0"),
        ("linear", {"sigma_w": 0.99}, "its only one, sigma_w=1.000000 with sigma_b=0"),
        ("tanh", {"sigma_w": 0.99}, "on its edge of chaos sigma_w runs from 1 up"),
        ("sigmoid", {"sigma_w": 4.0}, "on its edge of chaos sigma_w runs from 10.1493 up"),
        ("elu", {"sigma_w": 1.5}, "on its edge of chaos sigma_w runs from 1 to 1.4142"),
        (
            "gelu",
            {"sigma_b": 0.0},
            "gelu has no stable critical point at sigma_b=0: its edge of chaos begins at sigma_b=0.416,",
        ),
        ("silu", {"sigma_b": 0.7}, "begins at sigma_b=0.7451,"),
        ("silu", {"sigma_w": 2.0}, "sigma_w runs from 1.4025 to 1.4142"),
        ("tanh", {"sigma_b": -0.1}, "sigma_b=-0.1: give a finite number that is not negative"),
        ("tanh", {"sigma_w": math.nan}, "sigma_w=nan"),
        ("tanj", {}, "unknown activation 'tanj'. Did you mean 'tanh'?"),
    ],
)
def test_where_there_is_no_critical_point(activation: str, given: dict[str, float], message: str) -> None:
    with pytest.raises(SchemeError) as caught:
        critical_point(activation, **given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("activation", "given"),
    [
        ("gelu", {"sigma_b": 0.416}),
        ("silu", {"sigma_b": 0.7451}),
        ("silu", {"sigma_w": 1.4025}),
        ("sigmoid", {"sigma_w": 10.1493}),
    ],
)
def test_what_the_errors_advise_is_a_critical_point(activation: str, given: dict[str, float]) -> None:
    point = critical_point(activation, **given)
    assert chi1(activation, point.q, point.sigma_w) == pytest.approx(1, abs=1e-12)


def test_what_gelu_has_at_small_sigma_b_is_unstable() -> None:
    """The point that the critical line has at sigma_b = 0.3 is not where the map goes to."""
    q = brentq(lambda q: q - second_moment("gelu", q) / slope_moment("gelu", q) - 0.09, 0.1, 3)
    sigma_w = 1 / math.sqrt(slope_moment("gelu", q))
    assert variance_slope("gelu", q, sigma_w) > 1
    end = fixed_point("gelu", sigma_w, 0.3)
    assert end < 0.5 * q
    assert chi1("gelu", end, sigma_w) < 0.9
