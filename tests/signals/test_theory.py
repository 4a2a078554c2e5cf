"""Theory beside measurement: within sampling error for wide networks, and honest where it does not apply."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import pytest
import torch
from torch import nn

import initbench
from initbench.activations import MODULES, activation_module
from initbench.mean_field import critical_point
from initbench.results import SignalReport

WIDTH, DEPTH, INPUTS, SEEDS = 1000, 5, 300, 4


def network(activation: Any, width: int = WIDTH, depth: int = DEPTH) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in [INPUTS, *[width] * (depth - 1)]:
        layers += [nn.Linear(inputs, width), activation_module(activation)]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def inputs(samples: int = 32) -> torch.Tensor:
    """Return inputs whose norms differ, as those of images do."""
    generator = torch.Generator().manual_seed(9)
    return torch.randn(samples, INPUTS, generator=generator) * (0.5 + torch.rand(samples, 1, generator=generator))


@pytest.mark.parametrize("activation", MODULES)
def test_theory_and_measurement_agree_within_sampling_error(activation: str) -> None:
    sigma_w = min(critical_point(activation).sigma_w, 2.0)
    scheme = f"variance_scaling:scale={sigma_w**2}:distribution=normal"
    reports = [
        initbench.inspect(network(activation), scheme, inputs(), seed=seed, gradient_samples=32)
        for seed in range(SEEDS)
    ]
    for report in reports:
        assert report.no_theory is None
        for layer in report.layers:
            assert layer.theory is not None
            assert layer.pre_rms is not None
            assert abs(layer.pre_rms - layer.theory.pre_rms) < 4 * layer.theory.pre_rms_error
    for index in range(DEPTH):
        ratios = [_delta_ratio(report, index) for report in reports]
        # four networks of five layers of 1000 units: squares of gradients scatter by sqrt(2 * 5 / 1000) = 0.1 each
        assert statistics.fmean(ratios) == pytest.approx(1, abs=4 * 0.1 / math.sqrt(SEEDS))


def _delta_ratio(report: SignalReport, index: int) -> float:
    layer = report.layers[index]
    assert layer.theory is not None
    assert layer.theory.delta_rms is not None
    assert layer.delta_rms is not None
    return (layer.delta_rms / layer.theory.delta_rms) ** 2


def test_a_wrong_theory_would_be_seen() -> None:
    """The same check, with the weights a tenth larger than the scheme's formula says."""
    report = initbench.inspect(network("tanh"), "variance_scaling:scale=2.25:distribution=normal", inputs(), seed=0)
    model = network("tanh")
    initbench.initialize(
        model, "variance_scaling:scale=2.25:distribution=normal", generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.mul_(1.1)
    larger = initbench.inspect(model, None, inputs())
    theory = report.layers[0].theory
    assert theory is not None
    assert larger.layers[0].pre_rms is not None
    assert abs(larger.layers[0].pre_rms - theory.pre_rms) > 3 * theory.pre_rms_error


@pytest.mark.parametrize(
    ("scheme", "expected"),
    # the mean singular value of a large square Gaussian matrix of unit spectral variance is 8 / (3 pi) (the
    # quarter-circle law); for small signals tanh has slope 1
    [("default", 8 / (3 * math.pi) / math.sqrt(3)), ("xavier", 8 / (3 * math.pi)), ("orthogonal", 1.0)],
)
def test_mean_singular_values_of_small_signals_are_the_quarter_circles(scheme: str, expected: float) -> None:
    report = initbench.inspect(network("tanh"), scheme, 0.01 * inputs(), bias="zeros")
    assert report.jacobian_mean == pytest.approx(expected, rel=0.02)


@pytest.mark.mnist
def test_glorots_singular_values_come_out(mnist_root: Any) -> None:
    """Glorot & Bengio 2010, section 4.2.2: five layers of 1000 tanh units, 0.5 (standard) and 0.8 (normalized)."""
    from initbench.inspection import inspect_schemes

    found = inspect_schemes(
        {"model": {"hidden": [1000] * 5, "activation": "tanh"}, "init": {"bias": "zeros"}},
        schemes=["default", "xavier"],
        data_dir=mnist_root,
    )
    standard, normalized = (report.jacobian_mean for report in found.reports)
    assert standard == pytest.approx(0.5, abs=0.05)
    assert normalized == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("model", "scheme", "bias", "reason"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)), "he", "zeros", "Conv2d"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), "he", "zeros", "BatchNorm"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "he", "zeros", "hidden layer"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Mish(), nn.Linear(8, 3)),
            "he",
            "zeros",
            "the activation mish",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LeakyReLU(0.2), nn.Linear(8, 3)),
            "he",
            "zeros",
            r"leaky_relu\(0.2\)",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)),
            "constant:val=0.1",
            "zeros",
            "not drawn independently around 0",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)),
            "eye",
            "zeros",
            "not drawn independently around 0",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)),
            "he",
            0.5,
            "bias of 1 is not drawn around 0",
        ),
        (
            nn.Sequential(
                nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(),
                nn.Linear(8, 3),
            ),
            "he",
            "zeros",
            "different activations: relu, tanh",
        ),
    ],
)  # fmt: skip
def test_where_there_is_no_theory_it_says_why(model: nn.Module, scheme: str, bias: Any, reason: str) -> None:
    report = initbench.inspect(model, scheme, torch.randn(16, 1, 8, 8), bias=bias)
    assert report.theory is None
    assert report.no_theory is not None
    assert re.search(reason, report.no_theory)
    assert all(layer.theory is None for layer in report.layers)


def test_the_networks_theory_is_that_of_its_hidden_layers() -> None:
    report = initbench.inspect(network("relu", width=100, depth=4), "he_normal", inputs(), bias="zeros")
    theory = report.theory
    assert theory is not None
    assert (theory.activation, theory.sigma_b, theory.phase) == ("relu", 0.0, "critical")
    assert theory.sigma_w == pytest.approx(math.sqrt(2))
    assert theory.critical_sigma_w == pytest.approx(math.sqrt(2))
    assert theory.chi1 == pytest.approx(1)
    assert (theory.depth_scale, theory.trainable_depth) == (None, None)


def test_an_exploding_network_has_a_theory_without_infinities() -> None:
    report = initbench.inspect(network("relu", width=50, depth=60), "normal:std=3", inputs(), bias="zeros")
    assert report.theory is not None
    assert report.theory.q is None
    assert report.theory.phase == "chaotic"
    assert report.model_validate_json(report.model_dump_json()) == report
