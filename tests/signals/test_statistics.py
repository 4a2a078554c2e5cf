"""Each statistic against its definition in numpy, on numbers of every size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from initbench.signals import statistics
from initbench.signals.statistics import Scaled

SIZES = [1e-44, 1e-38, 1e-25, 1e-3, 1.0, 1e6, 1e25, 1e37]


@pytest.fixture
def value() -> Tensor:
    return torch.randn(50, 20, generator=torch.Generator().manual_seed(0)).add_(0.3)


@pytest.mark.parametrize("size", SIZES)
def test_moments_of_numbers_whose_squares_no_float32_holds(size: float, value: Tensor) -> None:
    given = value * size
    wide = given.double().numpy()
    scaled = Scaled(given)
    assert scaled.mean == pytest.approx(wide.mean(), rel=1e-4)
    assert scaled.std == pytest.approx(wide.std(ddof=1), rel=1e-5)
    assert scaled.rms == pytest.approx(math.sqrt((wide**2).mean()) if size > 1e-100 else 0, rel=1e-5)
    assert scaled.norm == pytest.approx(np.linalg.norm(wide), rel=1e-5)
    assert statistics.sample_std(scaled) == pytest.approx(math.sqrt(wide.var(0, ddof=1).mean()), rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_moments_and_says_how_much(bad: float, value: Tensor) -> None:
    value[3, 4] = bad
    scaled = Scaled(value)
    assert scaled.finite == pytest.approx(999 / 1000)
    assert (scaled.mean, scaled.std, scaled.rms, scaled.norm) == (None, None, None, None)
    assert statistics.sample_std(scaled) is None
    assert statistics.effective_rank(scaled) is None
    assert statistics.symmetry(value) is None
    counted = statistics.histogram(value, scaled)
    assert counted is not None
    assert sum(counted.counts) == 999


def test_zeros_and_single_numbers() -> None:
    zeros = Scaled(torch.zeros(3, 4))
    assert (zeros.mean, zeros.std, zeros.rms, zeros.norm) == (0, 0, 0, 0)
    single = Scaled(torch.full((1, 1), 2.0))
    assert (single.mean, single.std, single.rms) == (2, None, 2)


def test_what_differs_between_samples_is_not_what_differs_between_units() -> None:
    units = torch.arange(20.0).expand(50, 20)
    assert statistics.sample_std(Scaled(units.contiguous())) == pytest.approx(0, abs=1e-6)
    assert statistics.sample_std(Scaled(units.T.contiguous())) == pytest.approx(np.std(range(20), ddof=1))
    assert statistics.sample_std(Scaled(torch.ones(1, 4))) is None


@pytest.mark.parametrize(
    ("activation", "values", "share"),
    [
        ("sigmoid", [0.0, 0.0099, 0.0101, 0.5, 0.9899, 0.9901, 1.0], 4 / 7),
        ("tanh", [-1.0, -0.9901, -0.9899, 0.0, 0.9899, 0.9901], 3 / 6),
        ("relu", [0.0, 1.0], None),
        (None, [0.0, 1.0], None),
    ],
)
def test_saturated_is_within_a_hundredth_of_an_end(
    activation: str | None, values: list[float], share: float | None
) -> None:
    assert statistics.saturated(torch.tensor(values), activation) == (None if share is None else pytest.approx(share))


def test_dead_units_are_zero_for_every_sample() -> None:
    units = torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert statistics.dead(units, "relu") == 0.5
    assert statistics.dead(units, "tanh") is None


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank_of_equal_singular_values_is_the_rank(rank: int) -> None:
    basis, _ = torch.linalg.qr(torch.randn(40, rank + 1, generator=torch.Generator().manual_seed(0)))
    ones = torch.ones(40, 1) / math.sqrt(40)
    centred = basis[:, :rank] - ones @ (ones.T @ basis[:, :rank])
    columns, _ = torch.linalg.qr(centred)
    assert statistics.effective_rank(Scaled(columns + 3)) == pytest.approx(rank, rel=1e-3)


def test_effective_rank_is_that_of_the_definition(value: Tensor) -> None:
    s = np.linalg.svd(value.numpy() - value.numpy().mean(0), compute_uv=False)
    p = s / s.sum()
    assert statistics.effective_rank(Scaled(value)) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-4)


def test_samples_that_are_all_alike_have_rank_0_whatever_rounding_says() -> None:
    row = torch.rand(1, 30, generator=torch.Generator().manual_seed(0))
    alike = row.expand(50, 30) + 1e-8 * torch.randn(50, 30, generator=torch.Generator().manual_seed(1))
    assert statistics.effective_rank(Scaled(alike)) == 0
    assert statistics.effective_rank(Scaled(row)) is None


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_a_histogram_is_numpys(size: float, value: Tensor) -> None:
    given = value.double() * size
    counted = statistics.histogram(given, Scaled(given))
    assert counted is not None
    expected, edges = np.histogram(given.numpy(), statistics.BINS)
    assert (counted.low, counted.high) == (edges[0], edges[-1])
    assert np.abs(np.array(counted.counts) - expected).sum() <= 2  # a value on an edge may fall on either side


def test_a_histogram_of_one_value_has_one_bin_and_of_none_is_none() -> None:
    same = statistics.histogram(torch.full((3, 2), 0.5), Scaled(torch.full((3, 2), 0.5)))
    assert same is not None
    assert (same.low, same.high, same.counts) == (0.5, 0.5, (6,))
    nothing = torch.full((3, 2), math.nan)
    assert statistics.histogram(nothing, Scaled(nothing)) is None


def test_symmetry_is_the_mean_inner_product_over_the_mean_square(value: Tensor) -> None:
    rows = value.double().numpy()
    gram = rows @ rows.T
    off = (gram.sum() - np.trace(gram)) / (50 * 49)
    assert statistics.symmetry(value) == pytest.approx(off / (np.trace(gram) / 50), rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (torch.full((8, 5), 0.1), 1.0),
        (torch.zeros(8, 5), 1.0),
        (torch.eye(8), 0.0),
        (torch.tensor([[1.0, 2.0], [-1.0, -2.0]]), -1.0),
        (torch.ones(1, 5), None),
        (torch.full((8, 5), 1e-30), 1.0),
        (torch.full((8, 5, 3, 3), 1e30), 1.0),
    ],
)
def test_symmetry_of_known_cases(rows: Tensor, index: float | None) -> None:
    assert statistics.symmetry(rows) == (None if index is None else pytest.approx(index, abs=1e-6))


def test_independent_rows_are_not_alike() -> None:
    rows = torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    found = statistics.symmetry(rows)
    assert found is not None
    assert abs(found) < 4 * math.sqrt(2 / (200 * 199 * 300))  # its std where the rows are independent
