"""Every rule on a weight, on every shape that it fits: what its row in the table promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scheme_table import FIXED, GROUPS, SCHEMES, SHAPES, Shape
from scipy import stats
from torch import Tensor, nn

from initbench import initialize
from initbench.errors import SchemeError
from initbench.schemes import parse, schemes

Layer = tuple[str, Shape, int]  # kind, shape of the weight, groups

RANDOM = [spec for spec, entries in SCHEMES.items() if entries != FIXED]
SAME_FOR_EVERY_SEED = [spec for spec, entries in SCHEMES.items() if entries == FIXED]
INDEPENDENT = [spec for spec, entries in SCHEMES.items() if callable(entries)]
CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def fitting(text: str) -> list[Layer]:
    """The table's layers that the scheme is defined on: one test does them all, which is quicker than one for each."""
    layers = [(kind, shape, GROUPS.get(kind, 1)) for kind, shape in SHAPES.items()]
    found = [layer for layer in layers if fits(text, *layer[1:])]
    assert found
    return found


def fits(text: str, shape: Shape, groups: int) -> bool:
    spec = parse(text)
    try:
        if spec.scheme.fits:
            spec.scheme.fits(shape, groups, **spec.params)
    except SchemeError:
        return False
    return len(shape) in spec.scheme.dimensions


def drawn(text: str, shape: Shape, groups: int = 1, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    spec = parse(text)
    weight = torch.full(shape, float("nan"), dtype=dtype)
    handed = {"generator": torch.Generator().manual_seed(seed), "activation": None, "groups": groups}
    spec.scheme.fill(weight, **{name: handed[name] for name in spec.scheme.handed}, **spec.params)
    return weight


def named(text: str, shape: Shape) -> Any:
    """The table's distribution."""
    entries = SCHEMES[text]
    assert callable(entries)
    return entries(shape)


def promised_std(text: str, shape: Shape, groups: int) -> float | None:
    spec = parse(text)
    if spec.scheme.std and "groups" in spec.scheme.handed:
        return spec.scheme.std(shape, groups=groups, **spec.params)
    return spec.std(shape)


def test_the_table_has_every_rule_on_a_weight() -> None:
    assert {parse(spec).name for spec in SCHEMES} == {name for name in schemes if schemes[name].level == "weight"}


@pytest.mark.parametrize("spec", SCHEMES)
def test_fills_every_entry_and_keeps_shape_and_dtype(spec: str) -> None:
    for kind, shape, groups in fitting(spec):
        for dtype in (torch.float32, torch.float64):
            weight = drawn(spec, shape, groups, dtype=dtype)
            assert (weight.shape, weight.dtype) == (shape, dtype), kind
            assert weight.isfinite().all(), kind


@pytest.mark.parametrize("spec", RANDOM)
def test_same_seed_same_bits_other_seed_other_bits_and_no_global_draw(spec: str) -> None:
    before = torch.get_rng_state()
    for kind, shape, groups in fitting(spec):
        first, again, other = (drawn(spec, shape, groups, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(first, again), kind
        assert not torch.equal(first, other), kind
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("spec", SAME_FOR_EVERY_SEED)
def test_fixed_schemes_ignore_the_seed(spec: str) -> None:
    for kind, shape, groups in fitting(spec):
        assert torch.equal(drawn(spec, shape, groups, seed=1), drawn(spec, shape, groups, seed=2)), kind


@pytest.mark.parametrize("spec", SCHEMES)
def test_std_is_what_the_formula_promises(spec: str) -> None:
    for kind, shape, groups in fitting(spec):
        promised = promised_std(spec, shape, groups)
        if promised is None:
            pytest.skip("the scheme promises no std")
        measured = float(drawn(spec, shape, groups, dtype=torch.float64).std(correction=0))
        # 5 standard errors of a sample std: normal entries 1/sqrt(2n); sparse ones have kurtosis 3/(1-s): a little more
        tolerance = 1e-9 if SCHEMES[spec] == FIXED else 5 * math.sqrt(1 / math.prod(shape))
        assert measured == pytest.approx(promised, rel=tolerance, abs=1e-12), kind


@pytest.mark.parametrize("spec", INDEPENDENT)
def test_distribution_is_the_named_one(spec: str) -> None:
    for kind, shape, _ in fitting(spec):
        distribution = named(spec, shape)
        weight = drawn(spec, shape, dtype=torch.float64)
        assert stats.kstest(weight.flatten().numpy(), distribution.cdf).pvalue > 1e-3, kind
        low, high = distribution.support()
        assert low - 1e-6 <= weight.min() <= weight.max() <= high + 1e-6, kind


@pytest.mark.parametrize("spec", INDEPENDENT)
def test_the_claimed_distribution_is_the_named_one(spec: str) -> None:
    for kind, shape, _ in fitting(spec):
        expected, claimed = named(spec, shape), parse(spec).distribution(shape)
        assert claimed is not None
        assert claimed.std() == parse(spec).std(shape) == pytest.approx(expected.std(), rel=1e-6), kind
        if np.isfinite(expected.support()).all():
            assert claimed.support() == pytest.approx(expected.support(), rel=1e-9), kind
        assert expected.cdf(claimed.support()) == pytest.approx([0, 1], abs=1e-9), kind
        grid = expected.mean() + expected.std() * np.linspace(-5, 5, 101)  # beyond the bounds of the bounded ones
        np.testing.assert_allclose(claimed.cdf(grid), expected.cdf(grid), atol=1e-9, err_msg=kind)


@pytest.mark.parametrize(
    ("spec", "value"),
    [("normal:mean=0.5:std=0", 0.5), ("xavier_uniform:gain=0", 0.0), ("he_normal:gain=0:truncated=true", 0.0)],
)
def test_a_distribution_without_width_is_a_constant(spec: str, value: float) -> None:
    assert (drawn(spec, (3, 4)) == value).all()
    claimed = parse(spec).distribution((3, 4))
    assert claimed is not None
    assert claimed.std() == 0
    assert claimed.cdf(np.array([value - 1e-6, value, value + 1e-6])).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("name", "general"),
    [
        ("xavier_uniform", "scale=1:mode=fan_avg:distribution=uniform"),
        ("xavier_normal", "scale=1:mode=fan_avg:distribution=normal"),
        ("xavier_normal:gain=2:truncated=true", "scale=4:mode=fan_avg:distribution=truncated_normal"),
        ("he_uniform", "scale=2:mode=fan_in:distribution=uniform"),
        ("he_normal:mode=fan_out", "scale=2:mode=fan_out:distribution=normal"),
        ("he_normal:truncated=true", "scale=2"),
        ("lecun_uniform", "distribution=uniform"),
        ("lecun_normal:truncated=true", "scale=1"),
        ("default", f"scale={1 / 3}:distribution=uniform"),
    ],
)
def test_the_named_rules_are_settings_of_variance_scaling(name: str, general: str) -> None:
    shape = (20, 10, 3)
    assert torch.equal(drawn(name, shape), drawn(f"variance_scaling:{general}", shape))


@pytest.mark.parametrize(("name", "variance"), [("xavier", 2 / 500), ("he", 2 / 200), ("lecun", 1 / 200)])
def test_truncated_normals_end_where_those_of_keras_and_jax_do(name: str, variance: float) -> None:
    bound = 2 * math.sqrt(variance) / 0.87962566  # the std of N(0, 1) cut at +-2, as both libraries write it
    largest = float(drawn(f"{name}_normal:truncated=true", (300, 200)).abs().max())
    assert 0.99 * bound < largest < bound * (1 + 1e-6)
    assert float(drawn(f"{name}_normal", (300, 200)).abs().max()) > 1.5 * bound


@pytest.mark.parametrize("spec", ["orthogonal", "orthogonal:gain=2.0", "orthogonal:gain=tanh"])
def test_orthogonal_has_all_singular_values_at_the_claimed_gain(spec: str) -> None:
    parsed = parse(spec)
    assert parsed.scheme.gain is not None
    claimed = parsed.scheme.gain(**parsed.params)
    assert claimed == pytest.approx({1.0: 1, 2.0: 2, "tanh": 5 / 3}[parsed.params["gain"]])
    for kind, shape, _ in fitting(spec):
        assert torch.linalg.svdvals(drawn(spec, shape).flatten(1)).sub(claimed).abs().max() < 1e-5, kind


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


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_dirac_hands_its_channels_on(groups: int) -> None:
    images = torch.rand(2, 4, 6, 6)
    kernel = drawn("dirac", (4, 4 // groups, 3, 3), groups)
    assert torch.equal(torch.nn.functional.conv2d(images, kernel, padding=1, groups=groups), images)


def test_sparse_zeroes_the_same_number_of_entries_in_each_column() -> None:
    weight = drawn("sparse:sparsity=0.3", (50, 40))
    assert (weight == 0).sum(dim=0).tolist() == [15] * 40
    assert len({tuple(column.tolist()) for column in (weight == 0).T}) > 30  # not the same rows in every column


@pytest.mark.parametrize("gain", [1.0, 1.5])
@pytest.mark.parametrize(
    ("channels", "kernel", "groups"),
    [
        ((6, 6), (3,), 1),
        ((6, 6), (3, 3), 1),
        ((4, 10), (3, 5), 1),
        ((4, 8), (2, 4), 1),
        ((3, 5), (3, 2, 1), 1),
        ((6, 9), (3, 3), 3),
        ((4, 12), (3, 3), 4),
    ],
    ids=str,
)
def test_delta_orthogonal_keeps_every_pixels_norm_under_circular_padding(
    channels: tuple[int, int], kernel: Shape, groups: int, gain: float
) -> None:
    dimensions = len(kernel)
    layer = CONVOLUTIONS[dimensions](
        *channels, kernel, groups=groups, padding="same", padding_mode="circular", bias=False
    )
    initialize(layer, f"delta_orthogonal:gain={gain}", generator=torch.Generator().manual_seed(0))
    assert (
        int((layer.get_parameter("weight") != 0).sum()) == channels[1] * channels[0] // groups
    )  # of one position in the kernel
    images = torch.randn(2, channels[0], *(7, 6, 5)[:dimensions])
    before, after = (picture.view(2, groups, -1, *images.shape[2:]).norm(dim=2) for picture in (images, layer(images)))
    torch.testing.assert_close(after, gain * before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(8, 4, 3), "needs at least as many output as input channels, and this convolution has 8 input and 4"),
        (nn.Conv1d(8, 4, 3, groups=2), "has 4 input and 2 output channels in each of the 2 groups. Widen it"),
        (nn.Linear(4, 4), "scheme 'delta_orthogonal' fills tensors with 3, 4 or 5 dimensions"),
    ],
    ids=str,
)
def test_delta_orthogonal_does_not_fit_what_narrows(layer: nn.Module, message: str) -> None:
    with pytest.raises(SchemeError) as caught:
        initialize(layer, "delta_orthogonal", generator=torch.Generator())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def hadamard(exponent: int) -> Tensor:
    """Sylvester's construction, as in Zhao et al. 2022: H_0 = 1, H_m = [[H, H], [H, -H]]."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(exponent):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


WIDENING = [(2, 1), (4, 3), (5, 1), (7, 3), (6, 5), (16, 8), (100, 33), (128, 100)]


@pytest.mark.parametrize("shape", WIDENING)
def test_zero_hadamard_widens_by_a_hadamard_transform(shape: Shape) -> None:
    rows, columns = shape
    exponent = math.ceil(math.log2(rows))
    eye_in, eye_out = torch.eye(2**exponent, columns).double(), torch.eye(rows, 2**exponent).double()
    expected = eye_out @ (hadamard(exponent) / 2 ** (exponent / 2)) @ eye_in  # algorithm 1
    weight = drawn("zero_hadamard", shape, dtype=torch.float64)
    torch.testing.assert_close(weight, expected)
    if rows == 2**exponent:
        assert torch.linalg.svdvals(weight).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [*WIDENING, (6, 6), (3, 8)])
def test_zero_hadamard_has_full_rank_and_no_dead_unit(shape: Shape) -> None:
    """What tells it from a padded identity, whose units beyond the inputs hear nothing."""
    weight = drawn("zero_hadamard", shape, dtype=torch.float64)
    assert torch.linalg.matrix_rank(weight) == min(shape)
    assert (weight != 0).any(dim=1).all()
    if shape[0] <= shape[1]:
        assert torch.equal(weight, drawn("eye", shape, dtype=torch.float64))
    else:
        assert not (drawn("eye", shape) != 0).any(dim=1).all()


@pytest.mark.parametrize(
    ("shape", "groups"), [((6, 4, 3), 1), ((12, 3, 5, 3), 2), ((4, 6, 1, 3, 3), 2), ((8, 1, 3), 8)]
)
def test_zero_hadamard_puts_its_matrix_at_the_centre_of_each_groups_kernel(shape: Shape, groups: int) -> None:
    kernels = drawn("zero_hadamard", shape, groups).chunk(groups)
    matrix = drawn("zero_hadamard", (shape[0] // groups, shape[1]))
    centre = int(np.ravel_multi_index([side // 2 for side in shape[2:]], shape[2:]))
    for kernel in kernels:
        assert torch.equal(kernel.flatten(2)[:, :, centre], matrix)
        assert (kernel != 0).sum() == (matrix != 0).sum()
