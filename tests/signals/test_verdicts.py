"""The words: each kind of failure is called by its name on a network that has it, a healthy one is called healthy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import initbench
from initbench.activations import activation_module
from initbench.results import SignalReport
from initbench.signals.verdicts import gain_per_layer


def inspected(activation: Any, scheme: str, *, depth: int = 5, width: int = 100, bias: Any = "zeros") -> SignalReport:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation_module(activation)]
    batch = torch.randn(200, width, generator=torch.Generator().manual_seed(3))
    return initbench.inspect(nn.Sequential(*layers, nn.Linear(width, 10)), scheme, batch, bias=bias)


CASES = [
    # what the sources say of a deep sigmoid network
    ("sigmoid", "normal:std=1", {}, ["saturates"]),
    ("sigmoid", "normal:std=0.01", {}, ["collapses", "gradient vanishes"]),
    ("sigmoid", "xavier_normal", {}, ["keeps a spread", "vanishes", "gradient vanishes"]),
    ("tanh", "normal:std=1", {"depth": 9}, ["saturates", "gradient explodes"]),
    ("tanh", "normal:std=0.01", {}, ["vanishes", "gradient vanishes"]),
    ("tanh", "xavier_normal", {}, ["healthy", "keeps a spread"]),
    ("relu", "normal:std=0.01", {}, ["vanishes", "gradient vanishes"]),
    ("relu", "normal:std=1", {}, ["explodes", "gradient explodes"]),
    ("relu", "he_normal", {}, ["healthy"]),
    ("relu", "zeros", {}, ["symmetric", "no signal", "gradient vanishes"]),
    ("relu", "zeros", {"bias": "default"}, ["gradient vanishes"]),
    ("tanh", "constant:val=0.001", {}, ["symmetric"]),
    ("relu", "constant:val=-0.1", {"bias": -1.0}, ["symmetric", "dies", "no signal"]),
    ("relu", "he_normal", {"bias": -3.0}, ["dies"]),
    ("relu", "normal:std=1e30", {}, ["not finite"]),
    ("linear", "orthogonal", {}, ["healthy"]),
]


@pytest.mark.parametrize(
    ("activation", "scheme", "options", "kinds"), CASES, ids=[f"{one[0]}-{one[1]}-{one[2]}" for one in CASES]
)
def test_every_failure_is_called_by_its_name(
    activation: str, scheme: str, options: dict[str, Any], kinds: list[str]
) -> None:
    found = inspected(activation, scheme, **options).verdicts
    assert set(kinds) <= {verdict.kind for verdict in found}, found
    assert ("healthy" in kinds) == any(verdict.kind == "healthy" for verdict in found)


def test_the_numbers_in_the_words_are_those_of_the_report() -> None:
    report = inspected("sigmoid", "normal:std=1")
    worst = max(report.layers[:-1], key=lambda layer: layer.saturated or 0)
    assert worst.saturated is not None
    assert (
        report.verdicts[0].text == f"saturates: {100 * worst.saturated:.0f} % of {worst.name} is within 0.01 of 0 or 1"
    )


def test_n_0_001_collapses_to_a_half_with_a_std_that_shrinks() -> None:
    report = inspected("sigmoid", "normal:std=0.01")
    assert report.layers[4].mean == pytest.approx(0.5, abs=0.005)
    assert "whatever the input" in report.verdict
    stds = [layer.sample_std or 0 for layer in report.layers[:-1]]
    assert all(after < 0.05 * before for before, after in pairwise(stds[:4]))
    assert report.layers[4].std is not None
    assert report.layers[4].std < (report.layers[0].std or 0)


def test_units_that_differ_by_their_biases_are_nearly_symmetric() -> None:
    report = inspected("tanh", "constant:val=0.1", bias="default")
    assert "nearly symmetric: the 100 units of 0.weight" in report.verdict


def test_what_overflows_says_where() -> None:
    report = inspected("relu", "normal:std=1e30")
    assert "overflows" in report.verdict
    assert "is NaN or infinite" in report.verdict


def test_weights_that_are_not_finite_are_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    report = initbench.inspect(model, None, torch.ones(5, 4))
    assert report.verdict == "not finite: 6 % of 0.weight is NaN or infinite"


@pytest.mark.parametrize(
    ("first", "last", "steps", "gain"),
    [(1.0, 0.25, 2, 0.5), (2.0, 0.0, 3, 0.0), (0.0, 1.0, 1, None), (None, 1.0, 1, None), (1.0, 1.0, 0, None)],
)
def test_gain_per_layer_is_a_geometric_mean(first: Any, last: Any, steps: int, gain: float | None) -> None:
    found = gain_per_layer(first, last, steps)
    assert found == (gain if gain is None else pytest.approx(gain))
