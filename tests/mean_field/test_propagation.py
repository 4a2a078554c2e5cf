"""The theory of a given network: against the definitions, closed forms, and random networks."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from mean_field.definitions import PHI, chi, variance

from initbench.errors import SchemeError
from initbench.mean_field import CURVES, Dense, propagate


def chain(activation: str, *sigmas: tuple[float, float], units: int = 100) -> list[Dense]:
    return [Dense(sigma_w, sigma_b, units, units, activation) for sigma_w, sigma_b in sigmas]


@pytest.mark.parametrize("activation", PHI)
def test_each_layer_follows_the_definition(activation: str) -> None:
    """Layers of different sigmas and widths; backward is units sigma_w^2 / fan_in E[phi'^2] of the layer above."""
    layers = [
        Dense(1.3, 0.2, 30, 80, activation),
        Dense(0.8, 0.0, 80, 50, activation),
        Dense(1.7, 0.5, 50, 10, "linear"),
    ]
    q1 = 1.3**2 * 0.6 + 0.2**2
    q2 = variance(activation, q1, 0.8, 0.0)
    q3 = variance(activation, q2, 1.7, 0.5)
    found = propagate(layers, np.array([0.6]))
    assert [layer.q for layer in found] == pytest.approx([q1, q2, q3], rel=1e-7)
    expected = [50 / 80 * chi(activation, q1, 0.8), 10 / 50 * chi(activation, q2, 1.7)]
    assert [layer.backward for layer in found[:2]] == pytest.approx(expected, rel=1e-7)
    assert found[2].backward is None


def test_inputs_are_propagated_one_by_one_and_then_averaged() -> None:
    layers = chain("tanh", (2.0, 0.1), (1.5, 0.1), (1.2, 0.1))
    inputs = [0.05, 3.0]
    first = [4 * q + 0.01 for q in inputs]
    second = [variance("tanh", q, 1.5, 0.1) for q in first]
    third = [variance("tanh", q, 1.2, 0.1) for q in second]
    found = propagate(layers, np.array(inputs))
    assert [layer.q for layer in found] == pytest.approx([np.mean(q) for q in (first, second, third)], rel=1e-7)
    last = [chi("tanh", q, 1.2) for q in second]  # of each input's squared gradient: from layer 3 to 2
    before = [chi("tanh", q, 1.5) * factor for q, factor in zip(first, last, strict=True)]  # and on to layer 1
    assert found[1].backward == pytest.approx(np.mean(last), rel=1e-7)
    assert found[0].backward == pytest.approx(np.mean(before) / np.mean(last), rel=1e-7)


def test_of_many_inputs_similar_ones_are_put_together() -> None:
    inputs = np.random.default_rng(0).gamma(3, 0.1, 1001)
    few = propagate(chain("linear", (1.1, 0.2), (0.9, 0.1)), inputs)
    q1 = 1.21 * inputs.mean() + 0.04
    assert [layer.q for layer in few] == pytest.approx([q1, 0.81 * q1 + 0.01], rel=1e-9)
    curved = propagate(chain("tanh", (3.0, 0.0), (1.5, 0.0)), inputs)
    alone = [propagate(chain("tanh", (3.0, 0.0), (1.5, 0.0)), np.array([one]))[1].q for one in inputs]
    assert curved[1].q == pytest.approx(np.mean(alone), rel=5e-4)


@pytest.mark.parametrize(
    ("activation", "sigma_w", "per_layer"),  # sigma_w^4 Var[phi^2] / q^2, at the sigma_w that keeps q
    [("relu", math.sqrt(2), 4 * (3 / 2 - 1 / 4)), ("linear", 1.0, 2.0)],
)
def test_errors_of_homogeneous_activations_have_a_closed_form(
    activation: str, sigma_w: float, per_layer: float
) -> None:
    """q and V' = 1 stay, so that each layer adds its own scatter: Var = q^2 (per_layer (l - 1) + 2) / n."""
    found = propagate(chain(activation, *[(sigma_w, 0.0)] * 6, units=400), np.array([0.5]))
    q = 0.5 * sigma_w**2
    expected = [q * math.sqrt((per_layer * layer + 2) / 400) for layer in range(6)]
    assert [layer.q_error for layer in found] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("activation", "sigma_w", "sigma_b"),
    [("relu", math.sqrt(2), 0.0), ("tanh", 1.6, 0.3), ("sigmoid", 8.0, 0.5), ("gelu", 1.5, 0.4)],
)
def test_random_networks_scatter_as_predicted(activation: str, sigma_w: float, sigma_b: float) -> None:
    networks, units = 400, 100
    generator = np.random.default_rng(11)
    x = generator.standard_normal(50)
    layers = [Dense(sigma_w, sigma_b, fan_in, units, activation) for fan_in in (50, units, units)]
    predicted = propagate(layers, np.array([np.mean(x**2)]))
    z = np.tile(x, (networks, 1)).astype(np.float32)
    for layer, theory in zip(layers, predicted, strict=True):
        weights = generator.standard_normal((networks, units, layer.fan_in), dtype=np.float32)
        biases = sigma_b * generator.standard_normal((networks, units))
        h = sigma_w / math.sqrt(layer.fan_in) * np.matmul(weights, z[:, :, None])[:, :, 0] + biases
        measured = (h**2).mean(1)  # one for each network
        std, deviations = measured.std(ddof=1), measured - measured.mean()
        kurtosis = (deviations**4).mean() / std**4
        assert abs(std - theory.q_error) < 4 * std * math.sqrt((kurtosis - 1) / (4 * networks))
        assert measured.mean() == pytest.approx(theory.q, rel=0.03)
        z = CURVES[activation].phi(h).astype(np.float32)
    assert predicted[-1].q_error > 1.1 * predicted[-1].q * math.sqrt(2 / units)  # more than the last layer's own


@pytest.mark.parametrize("activation", CURVES)
@pytest.mark.parametrize("sigma_w", [0.0, 1e-4, 1e4, 1e200])
def test_what_overflows_is_inf_and_what_underflows_is_0(activation: str, sigma_w: float) -> None:
    layers = 100  # from 1e300 it takes 79 of sigma_w = 1e-4 to underflow
    found = propagate(chain(activation, *[(sigma_w, 0.0)] * layers), np.array([0.0, 1e-300, 1.0, 1e300]))
    numbers = [number for layer in found for number in layer if number is not None]
    assert len(numbers) == 3 * layers - 1
    assert all(number >= 0 for number in numbers)  # NaN is not
    if activation in ("relu", "gelu", "linear"):
        assert found[-1].q == {0.0: 0.0, 1e-4: 0.0}.get(sigma_w, math.inf)


def test_a_bounded_activation_ends_an_overflow() -> None:
    layers = [Dense(1e5, 0.0, 9, 9, "relu")] * 50 + [Dense(1e5, 0.0, 9, 9, "tanh"), Dense(2.0, 0.0, 9, 9, "linear")]
    found = propagate(layers, np.array([1.0]))
    assert found[-2].q == math.inf
    assert found[-1].q == pytest.approx(4)


def test_a_thousand_layers_are_quick() -> None:
    layers, inputs = chain("gelu", *[(1.5, 0.1)] * 1000), np.linspace(0, 1, 1000)
    propagate(layers[:2], inputs)  # tabulates the moments
    start = time.perf_counter()
    propagate(layers, inputs)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("inputs", [[], [math.nan], [1.0, -1.0]], ids=str)
def test_bad_inputs_are_told(inputs: list[float]) -> None:
    with pytest.raises(ValueError, match="mean squares that are 0 or more"):
        propagate(chain("tanh", (1.0, 0.0)), np.array(inputs))


def test_an_unknown_activation_is_told() -> None:
    with pytest.raises(SchemeError, match="unknown activation 'tanj'"):
        propagate(chain("tanj", (1.0, 0.0), (1.0, 0.0)), np.ones(1))
