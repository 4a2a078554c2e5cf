"""Every scheme on every shape that it fits: what its row in the table promises."""

from __future__ import annotations

import math

import pytest
import torch
from scheme_table import FIXED, SCHEMES, SHAPES, Shape
from scipy import stats
from torch import Tensor

from initbench.schemes import parse, schemes

FITTING = [
    pytest.param(spec, shape, id=f"{spec}-{kind}")
    for spec in SCHEMES
    for kind, shape in SHAPES.items()
    if len(shape) in parse(spec).scheme.dimensions
]
RANDOM = [case for case in FITTING if SCHEMES[str(case.values[0])] != FIXED]
SAME_FOR_EVERY_SEED = [case for case in FITTING if SCHEMES[str(case.values[0])] == FIXED]
INDEPENDENT = [case for case in FITTING if callable(SCHEMES[str(case.values[0])])]


def drawn(text: str, shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    spec = parse(text)
    weight = torch.full(shape, float("nan"), dtype=dtype)
    spec.scheme.fill(weight, generator=torch.Generator().manual_seed(seed), **spec.params)
    return weight


def test_the_table_has_every_scheme() -> None:
    assert {parse(spec).name for spec in SCHEMES} == set(schemes)


@pytest.mark.parametrize(("spec", "shape"), FITTING)
def test_fills_every_entry_and_keeps_shape_and_dtype(spec: str, shape: Shape) -> None:
    for dtype in (torch.float32, torch.float64):
        weight = drawn(spec, shape, dtype=dtype)
        assert weight.shape == shape
        assert weight.dtype == dtype
        assert weight.isfinite().all()


@pytest.mark.parametrize(("spec", "shape"), RANDOM)
def test_same_seed_same_bits_other_seed_other_bits_and_no_global_draw(spec: str, shape: Shape) -> None:
    before = torch.get_rng_state()
    assert torch.equal(drawn(spec, shape, seed=1), drawn(spec, shape, seed=1))
    assert not torch.equal(drawn(spec, shape, seed=1), drawn(spec, shape, seed=2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("spec", "shape"), SAME_FOR_EVERY_SEED)
def test_fixed_schemes_ignore_the_seed(spec: str, shape: Shape) -> None:
    assert torch.equal(drawn(spec, shape, seed=1), drawn(spec, shape, seed=2))


@pytest.mark.parametrize(("spec", "shape"), FITTING)
def test_std_is_what_the_formula_promises(spec: str, shape: Shape) -> None:
    promised = parse(spec).std(shape)
    if promised is None:
        pytest.skip("the scheme promises no std")
    measured = float(drawn(spec, shape, dtype=torch.float64).std(correction=0))
    # 5 standard errors of a sample std: normal entries 1/sqrt(2n); sparse ones have kurtosis 3/(1-s), so a little more
    assert measured == pytest.approx(promised, rel=5 * math.sqrt(1 / math.prod(shape)), abs=1e-12)


@pytest.mark.parametrize(("spec", "shape"), INDEPENDENT)
def test_distribution_is_the_named_one(spec: str, shape: Shape) -> None:
    entries = SCHEMES[spec]
    assert callable(entries)
    distribution = entries(shape)
    weight = drawn(spec, shape, dtype=torch.float64)
    assert stats.kstest(weight.flatten().numpy(), distribution.cdf).pvalue > 1e-3
    low, high = distribution.support()
    assert low - 1e-6 <= weight.min() <= weight.max() <= high + 1e-6
    assert parse(spec).std(shape) == pytest.approx(distribution.std(), rel=1e-6)


@pytest.mark.parametrize("gain", [1.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_orthogonal_has_all_singular_values_at_the_gain(shape: Shape, gain: float) -> None:
    matrix = drawn(f"orthogonal:gain={gain}", shape).flatten(1)
    assert torch.linalg.svdvals(matrix).sub(gain).abs().max() < 1e-5


@pytest.mark.parametrize("spec", ["constant:val=0.3", "zeros", "ones"])
def test_constants_are_symmetric(spec: str) -> None:
    weight = drawn(spec, (30, 20))
    assert torch.equal(weight, weight[0, 0].expand(30, 20))


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3)])
def test_eye_hands_its_inputs_on(shape: Shape) -> None:
    x = torch.arange(1.0, shape[1] + 1)
    expected = torch.zeros(shape[0])
    expected[: min(shape)] = x[: min(shape)]
    assert torch.equal(drawn("eye", shape) @ x, expected)


def test_dirac_hands_its_channels_on() -> None:
    images = torch.rand(2, 4, 6, 6)
    kernel = drawn("dirac", (4, 4, 3, 3))
    assert torch.equal(torch.nn.functional.conv2d(images, kernel, padding=1), images)


def test_sparse_zeroes_the_same_number_of_entries_in_each_column() -> None:
    weight = drawn("sparse:sparsity=0.3", (50, 40))
    assert (weight == 0).sum(dim=0).tolist() == [15] * 40
    assert len({tuple(column.tolist()) for column in (weight == 0).T}) > 30  # not the same rows in every column
