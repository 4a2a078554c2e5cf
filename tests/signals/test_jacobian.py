"""The spectrum by Lanczos quadrature against the singular values of the whole Jacobian."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from initbench.signals.jacobian import lanczos, spectrum
from initbench.signals.measure import measure

SAMPLES = 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(matrix: Tensor, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(samples, matrix.shape[1], generator=generator(1), requires_grad=True)
    return inputs, inputs @ matrix.T


@pytest.mark.parametrize("shape", [(200, 200), (300, 150), (150, 300)])
def test_the_mean_and_the_percentiles_are_those_of_the_matrix(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=generator(2)) / math.sqrt(shape[1])
    exact = torch.linalg.svdvals(matrix).numpy()
    found = spectrum(*linear(matrix), generator())
    assert found is not None
    # s varies by about half of its mean; one number for each of 32 random directions of at least 150 dimensions
    assert found.mean == pytest.approx(exact.mean(), rel=4 * 0.5 * math.sqrt(2 / (SAMPLES * 150)))
    np.testing.assert_allclose(found.percentiles, np.percentile(exact, [5, 25, 50, 75, 95]), atol=0.08)
    assert found.largest == pytest.approx(exact.max(), rel=0.02)


def test_an_isometry_has_singular_values_of_one() -> None:
    orthogonal = torch.linalg.qr(torch.randn(60, 60, generator=generator(3)))[0]
    found = spectrum(*linear(orthogonal), generator())
    assert found is not None
    assert found.mean == pytest.approx(1, abs=1e-5)
    assert found.percentiles == pytest.approx((1, 1, 1, 1, 1), abs=1e-3)


def test_half_of_the_singular_values_of_a_half_dead_layer_are_0() -> None:
    orthogonal = torch.linalg.qr(torch.randn(60, 60, generator=generator(3)))[0]
    orthogonal[30:] = 0
    found = spectrum(*linear(orthogonal, 64), generator())
    assert found is not None
    assert found.mean == pytest.approx(0.5, abs=4 * math.sqrt(2 * 0.25 / (64 * 60)))
    assert found.percentiles[0] == pytest.approx(0, abs=1e-3)
    assert found.percentiles[4] == pytest.approx(1, abs=1e-3)


def test_each_sample_has_its_own_jacobian() -> None:
    """phi(W x) for tanh: J = diag(1 - tanh^2) W, different for each x."""
    layer = nn.Sequential(nn.Linear(80, 80), nn.Tanh())
    torch.nn.init.normal_(layer[0].weight, 0, 1.5 / math.sqrt(80), generator=generator(4))
    inputs = torch.randn(SAMPLES, 80, generator=generator(5), requires_grad=True)
    outputs = layer(inputs)
    slopes = 1 - outputs.detach() ** 2
    exact = torch.linalg.svdvals(slopes.unsqueeze(2) * layer[0].weight.detach()).mean()
    found = spectrum(inputs, outputs, generator())
    assert found is not None
    assert found.mean == pytest.approx(float(exact), rel=4 * 0.7 * math.sqrt(2 / (SAMPLES * 80)))


def test_a_convolutions_jacobian_is_that_of_its_matrix() -> None:
    convolution = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    inputs = torch.randn(SAMPLES, 2, 6, 6, generator=generator(6), requires_grad=True)
    with torch.no_grad():  # column by column: what becomes of each unit vector
        matrix = convolution(torch.eye(72).view(72, 2, 6, 6)).flatten(1).T
    found = spectrum(inputs, convolution(inputs), generator())
    assert found is not None
    assert found.mean == pytest.approx(float(torch.linalg.svdvals(matrix).mean()), rel=0.06)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e12, 1e30])
def test_the_spectrum_scales_with_the_matrix(scale: float) -> None:
    matrix = torch.randn(50, 50, generator=generator(2))
    one, scaled = (spectrum(*linear(matrix * factor), generator()) for factor in (1.0, scale))
    assert one is not None
    assert scaled is not None
    assert scaled.mean == pytest.approx(one.mean * scale, rel=1e-3)


def test_the_directions_come_from_the_generator() -> None:
    case = linear(torch.randn(50, 50, generator=generator(2)))
    assert spectrum(*case, generator(0)) == spectrum(*case, generator(0))
    assert spectrum(*case, generator(0)) != spectrum(*case, generator(1))


def test_zero_unconnected_and_infinite_jacobians() -> None:
    zero = spectrum(*linear(torch.zeros(5, 5)), generator())
    assert zero is not None
    assert (zero.mean, zero.largest) == (0, 0)
    inputs = torch.randn(3, 4, requires_grad=True)
    other = torch.randn(3, 4, requires_grad=True)
    assert spectrum(inputs, other * 2, generator()) is None
    assert spectrum(*linear(torch.full((5, 5), math.inf)), generator()) is None


def test_as_many_steps_as_dimensions_give_the_eigenvalues() -> None:
    symmetric = torch.randn(8, 8, generator=generator(7))
    symmetric = symmetric @ symmetric.T
    values, weights = lanczos(lambda u: u @ symmetric, torch.randn(4, 8, generator=generator(8)), 8)
    assert values is not None
    assert weights is not None
    exact = torch.linalg.eigvalsh(symmetric).double()
    for of_one in values:
        torch.testing.assert_close(of_one, exact, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(weights.sum(1), torch.ones(4, dtype=torch.float64))


def test_wide_layers_need_few_probes_also_where_their_channels_are_few() -> None:
    """8 channels of 16 x 16 positions are 2048 values: 4 samples, not the 512 that 8 units would need."""
    seen: list[int] = []

    class Counted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad or torch.is_grad_enabled():
                seen.append(len(x))
            return x

    model = nn.Sequential(
        Counted(), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2048, 10), nn.ReLU(), nn.Linear(10, 5),
    )  # fmt: skip
    found = measure(model, torch.randn(40, 1, 16, 16), torch.arange(40) % 5, jacobians=4)
    assert seen == [40, 4, 512]  # the way back, the convolutions, the Linear layer of 10 units
    assert [layer.jacobian is not None for layer in found.layers] == [False, True, True, False]
