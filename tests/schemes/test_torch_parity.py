"""What torch means by a name, we mean too: the same bits from the same generator."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scheme_table import GROUPS, SHAPES
from torch import Generator, Tensor, nn
from torch.nn import init

from initbench.schemes import parse
from initbench.schemes.gains import GAINS, gain_value

Fill = Callable[[Tensor, Generator], object]
TORCH: dict[str, Fill] = {
    "constant:val=0.3": lambda w, g: init.constant_(w, 0.3),
    "zeros": lambda w, g: init.zeros_(w),
    "ones": lambda w, g: init.ones_(w),
    "eye": lambda w, g: init.eye_(w),
    "dirac": lambda w, g: init.dirac_(w),
    "uniform:a=-1:b=3": lambda w, g: init.uniform_(w, -1, 3, generator=g),
    "normal:mean=1:std=2": lambda w, g: init.normal_(w, 1, 2, generator=g),
    "trunc_normal:std=0.5:a=-0.6:b=1": lambda w, g: init.trunc_normal_(w, 0, 0.5, -0.6, 1, generator=g),
    "orthogonal:gain=tanh": lambda w, g: init.orthogonal_(w, 5 / 3, generator=g),
    "xavier": lambda w, g: init.xavier_uniform_(w, generator=g),
    "glorot_uniform:gain=relu": lambda w, g: init.xavier_uniform_(w, math.sqrt(2), generator=g),
    "xavier_normal": lambda w, g: init.xavier_normal_(w, generator=g),
    "he": lambda w, g: init.kaiming_uniform_(w, nonlinearity="relu", generator=g),
    "kaiming_uniform:mode=fan_out": lambda w, g: init.kaiming_uniform_(w, mode="fan_out", generator=g),
    "he_normal": lambda w, g: init.kaiming_normal_(w, generator=g),
    "he_normal:gain=selu": lambda w, g: init.kaiming_normal_(w, nonlinearity="selu", generator=g),
    "default": lambda w, g: init.kaiming_uniform_(w, a=math.sqrt(5), generator=g),
}


@pytest.mark.parametrize("spec", TORCH)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_bits_equal_torch(spec: str, shape: tuple[int, ...]) -> None:
    parsed = parse(spec)
    if len(shape) not in parsed.scheme.dimensions:
        pytest.skip("the scheme is not defined on this shape")
    ours, theirs = torch.empty(shape), torch.empty(shape)
    parsed.scheme.fill(ours, generator=torch.Generator().manual_seed(3), **parsed.params)
    TORCH[spec](theirs, torch.Generator().manual_seed(3))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", GROUPS)
def test_dirac_bits_equal_torch_group_by_group(kind: str) -> None:
    ours, theirs = torch.empty(SHAPES[kind]), torch.empty(SHAPES[kind])
    parse("dirac").scheme.fill(ours, generator=torch.Generator(), groups=GROUPS[kind])
    assert torch.equal(ours, init.dirac_(theirs, GROUPS[kind]))


@pytest.mark.parametrize("activation", GAINS)
def test_gains_equal_torch(activation: str) -> None:
    assert gain_value(activation) == pytest.approx(init.calculate_gain(activation), rel=1e-15)  # type: ignore[arg-type]


def test_torch_defines_no_other_gain_for_our_activations() -> None:
    from initbench.activations import MODULES

    for activation in MODULES.keys() - GAINS.keys():
        with pytest.raises(ValueError, match="nsupported"):
            init.calculate_gain(activation)  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", [nn.Linear(300, 200), nn.Conv2d(16, 32, 3), nn.Conv1d(16, 32, 5)], ids=str)
def test_default_has_the_distribution_of_an_untouched_layer(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    from scipy import stats

    from initbench import initialize

    untouched = [parameter.detach().clone() for parameter in layer.parameters()]
    initialize(layer, "default", generator=torch.Generator().manual_seed(0))
    for before, after in zip(untouched, layer.parameters(), strict=True):
        assert not torch.equal(before, after)
        test = stats.ks_2samp(before.flatten().numpy(), after.detach().flatten().numpy())
        assert test.pvalue > 1e-3
