"""The denoising autoencoder: its gradient against autograd's, its noise, its start, and what it learns."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy

from initbench.pretraining import EpochStatistics, fit_denoising_autoencoder
from initbench.pretraining.autoencoder import DenoisingDescent, start
from initbench.pretraining.epochs import Parameters


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def random_parameters() -> Parameters:
    generator = seeded(1)
    return Parameters(*(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 5), (3,), (5,))))


def by_autograd(parameters: Parameters, clean: Tensor, corrupted: Tensor) -> tuple[Tensor, ...]:
    weight, hidden_bias, visible_bias = (tensor.clone().requires_grad_() for tensor in parameters)
    code = torch.sigmoid(corrupted @ weight.T + hidden_bias)
    restored = torch.sigmoid(code @ weight + visible_bias)
    loss = binary_cross_entropy(restored, clean, reduction="sum") / len(clean)
    return torch.autograd.grad(loss, (weight, hidden_bias, visible_bias))


def masks(rows: int, units: int, corruption: float, generator: Generator) -> Tensor:
    """Return which elements [rows, units] are kept: each erased with probability `corruption`, u < corruption."""
    return torch.empty(rows, units, dtype=torch.float64).uniform_(generator=generator) >= corruption


@pytest.mark.parametrize("corruption", [0.0, 0.4])
@pytest.mark.parametrize("batch", [4, 2, 1])
def test_step_goes_down_the_gradient_of_autograd(corruption: float, batch: int) -> None:
    inputs = torch.rand(9, 5, generator=seeded(), dtype=torch.float64)
    parameters, index = random_parameters(), torch.tensor([7, 0, 3, 5])[:batch]
    learner = DenoisingDescent(parameters, 0.25, corruption, batch_size=4)
    learner.step(inputs, index, seeded(2))
    kept = masks(batch, 5, corruption, seeded(2))
    gradients = by_autograd(random_parameters(), inputs[index], inputs[index] * kept)
    for moved, started, gradient in zip(parameters, random_parameters(), gradients, strict=True):
        torch.testing.assert_close(moved, started - 0.25 * gradient, rtol=0, atol=1e-13)


def test_start_is_uniform_up_to_four_times_glorots_bound() -> None:
    weight, hidden_bias, visible_bias = start(torch.zeros(1, 200, dtype=torch.float64), 100, seeded())
    bound = 4 * math.sqrt(6 / 300)
    assert 0.999 * bound < weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert abs(float(weight.mean())) < 5 * bound / math.sqrt(3 * 20_000)
    assert not hidden_bias.any()
    assert not visible_bias.any()


def test_it_learns_to_restore_digits() -> None:
    inputs, told = torch.tensor(load_digits().data / 16, dtype=torch.float32), list[EpochStatistics]()
    encoder = fit_denoising_autoencoder(inputs, 32, generator=seeded(), epochs=10, batch_size=20, on_epoch=told.append)
    errors = [row.reconstruction_error for row in told]
    assert [row.epoch for row in told] == list(range(1, 11))
    assert errors[-1] < errors[0]
    assert errors[-1] < 0.5 * float(inputs.var(0).mean())  # the error of the mean image
    assert {(row.free_energy, row.pseudo_log_likelihood) for row in told} == {(None, None)}
    code = torch.sigmoid(inputs @ encoder.weight.T + encoder.hidden_bias)
    torch.testing.assert_close(encoder.encode(inputs), code)
