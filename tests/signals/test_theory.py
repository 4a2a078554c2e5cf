"""Theory beside measurement: within sampling error for wide networks, and honest where it does not apply."""

from __future__ import annotations

import functools
import math
import re
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2
from torch import nn

import initbench
from initbench.activations import MODULES, activation_module
from initbench.mean_field import critical_point
from initbench.schemes import parse
from initbench.schemes.weights import weights
from initbench.signals import theory
from initbench.signals.measure import measure

WIDTH, DEPTH, INPUTS, SIGMA_B = 1000, 5, 300, 0.1
Floats = NDArray[np.float64]


def network(activation: Any, width: int = WIDTH, depth: int = DEPTH) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in [INPUTS, *[width] * (depth - 1)]:
        layers += [nn.Linear(inputs, width), activation_module(activation)]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def inputs(samples: int = 32) -> torch.Tensor:
    """Return inputs whose norms differ, as those of images do."""
    generator = torch.Generator().manual_seed(9)
    return torch.randn(samples, INPUTS, generator=generator) * (0.5 + torch.rand(samples, 1, generator=generator))


class Compared(NamedTuple):
    """Measured over predicted, of every network [N] and layer [L]; `error` is the predicted std of `pre`."""

    pre: Floats  # pre_rms^2 [N, L]
    delta: Floats  # delta_rms^2 [N, L]
    error: Floats  # [L]


def compared(activation: str, *, width: int, samples: int, networks: int, sigma_w: float, depth: int = 4) -> Compared:
    """Return what `networks` random networks of `depth` layers of one width do, beside what theory says of each."""
    scheme = parse(f"variance_scaling:scale={sigma_w**2}:distribution=normal")
    model = nn.Sequential(*network(activation, width, depth - 1)[:-1], nn.Linear(width, width))
    schemes = {weight.name: scheme for weight in weights(model)}
    generator = torch.Generator().manual_seed(4)
    pre, delta, errors = [], [], []
    for _ in range(networks):
        initbench.initialize(model, scheme, generator=generator, bias="zeros")
        with torch.no_grad():
            for layer in model[::2]:
                layer.bias.normal_(0, SIGMA_B, generator=generator)
        found = measure(model, inputs(samples), torch.arange(samples), schemes=schemes)
        rows, _ = theory.beside(model, inputs(samples), found.layers, found.weights)
        predicted = [row.theory for row in rows if row.theory is not None]
        pre.append([(row.pre_rms or 0) / of_row.pre_rms for row, of_row in zip(rows, predicted, strict=True)])
        delta.append(
            [(row.delta_rms or 0) / (of_row.delta_rms or 0) for row, of_row in zip(rows, predicted, strict=True)]
        )
        errors.append([2 * of_row.pre_rms_error / of_row.pre_rms for of_row in predicted])
    return Compared(np.square(pre), np.square(delta), np.mean(errors, axis=0))


@functools.cache
def wide(activation: Any) -> Compared:
    """Return eight networks of width 1000 beside their theory, for 32 different inputs."""
    sigma_w = min(critical_point(activation).sigma_w, 2.0)
    return compared(activation, width=WIDTH, samples=32, networks=8, sigma_w=sigma_w)


def layers_off(ratios: Floats, width: int) -> list[int]:
    """Return the layers whose mean ratio [N, L] is not 1: by more than 4 standard errors, as the networks scatter.

    Theory is that of endless width; what it leaves out is of the order of depth / width: 2 of them are allowed for.
    """
    networks, depth = ratios.shape
    standard_error = ratios.std(0, ddof=1) / math.sqrt(networks)
    allowed = 4 * standard_error + 2 * depth / width
    return [int(layer) for layer in np.flatnonzero(abs(ratios.mean(0) - 1) > allowed)]


@pytest.mark.parametrize("activation", MODULES)
def test_theory_and_measurement_agree_within_sampling_error(activation: str) -> None:
    found = wide(activation)
    assert layers_off(found.pre, WIDTH) == []
    assert layers_off(found.delta, WIDTH) == []
    # N - 1 degrees of freedom; one healthy layer in 10,000 would be above
    most = chi2.ppf(1 - 1e-4, len(found.pre) - 1) / (len(found.pre) - 1)
    assert (found.pre.var(0, ddof=1) <= most * found.error**2).all()


@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("factor", [1.05, 1 / 1.05])
def test_a_theory_that_is_5_percent_off_per_layer_would_be_seen(activation: str, factor: float) -> None:
    """Off from the second layer on, so that it is not the input's mean square that tells."""
    found = wide(activation)
    off = factor ** np.arange(4)  # [L]
    assert 3 in layers_off(found.pre / off, WIDTH)
    assert 0 in layers_off(found.delta / off[::-1], WIDTH)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_for_a_single_input_the_predicted_scatter_is_reached(activation: str) -> None:
    """The variance over 100 networks has the standard error sqrt(2 / 99), of which 4 are allowed."""
    found = compared(activation, width=100, samples=1, networks=100, sigma_w=1.3, depth=3)
    ratio = found.pre.var(0, ddof=1) / found.error**2
    assert abs(ratio - 1) == pytest.approx(0, abs=4 * math.sqrt(2 / 99))
    assert (abs(ratio * 1.5**2 - 1) > 4 * math.sqrt(2 / 99)).all()  # an error that is 1.5 times off would be seen


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
            "2 is of class Mish",
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
    found = report.theory
    assert found is not None
    assert (found.activation, found.sigma_b, found.phase) == ("relu", 0.0, "critical")
    assert found.sigma_w == pytest.approx(math.sqrt(2))
    assert found.critical_sigma_w == pytest.approx(math.sqrt(2))
    assert found.chi1 == pytest.approx(1)
    assert (found.depth_scale, found.trainable_depth) == (None, None)


def test_an_exploding_network_has_a_theory_without_infinities() -> None:
    report = initbench.inspect(network("relu", width=50, depth=60), "normal:std=3", inputs(), bias="zeros")
    assert report.theory is not None
    assert report.theory.q is None
    assert report.theory.phase == "chaotic"
    assert report.model_validate_json(report.model_dump_json()) == report
