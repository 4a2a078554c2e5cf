"""Schemes without randomness: a layer's units start alike, so their gradients are alike too; or as the identity."""

import math
from typing import TYPE_CHECKING

from initbench.schemes.catalogue import register_scheme

if TYPE_CHECKING:
    from torch import Generator, Tensor

SYMMETRY = "a lesson: alike units get alike gradients, and training cannot tell them apart"


@register_scheme(
    "constant",
    formula="W = val",
    source="torch.nn.init.constant_",
    good_for=SYMMETRY,
    std=lambda shape, val: 0.0,
)
def constant(weight: "Tensor", *, generator: "Generator", val: float = 0.1) -> None:
    """Set every weight to `val`."""
    from torch.nn import init

    init.constant_(weight, val)


@register_scheme("zeros", formula="W = 0", source="torch.nn.init.zeros_", good_for=SYMMETRY, std=lambda shape: 0.0)
def zeros(weight: "Tensor", *, generator: "Generator") -> None:
    """Set every weight to 0: no signal forward, no gradient back."""
    from torch.nn import init

    init.zeros_(weight)


@register_scheme("ones", formula="W = 1", source="torch.nn.init.ones_", good_for=SYMMETRY, std=lambda shape: 0.0)
def ones(weight: "Tensor", *, generator: "Generator") -> None:
    """Set every weight to 1."""
    from torch.nn import init

    init.ones_(weight)


def _ones_std(ones_count: int, shape: tuple[int, ...]) -> float:
    """Return the std of a tensor of `shape` with `ones_count` ones and zeros elsewhere: sqrt(p (1 - p))."""
    share = ones_count / math.prod(shape)
    return math.sqrt(share * (1 - share))


@register_scheme(
    "eye",
    aliases=("identity",),
    formula="W[i, j] = 1 where i = j, else 0",
    source="torch.nn.init.eye_",
    good_for="linear and recurrent layers; it hands the first min(in, out) inputs on",
    std=lambda shape: _ones_std(min(shape), shape),
    dimensions=(2,),
)
def eye(weight: "Tensor", *, generator: "Generator") -> None:
    """Set a matrix to the identity, cut or padded with zeros to its shape."""
    from torch.nn import init

    init.eye_(weight)


def dirac_std(shape: tuple[int, ...], groups: int = 1) -> float:
    """Return the std of a kernel that hands on the first min(in, out) channels of each group."""
    return _ones_std(groups * min(shape[0] // groups, shape[1]), shape)


@register_scheme(
    "dirac",
    formula="W[i, i, centre] = 1 in each group, else 0",
    source="torch.nn.init.dirac_",
    good_for="deep convolutions; it hands the channels on",
    std=dirac_std,
    dimensions=(3, 4, 5),
)
def dirac(weight: "Tensor", *, generator: "Generator", groups: int = 1) -> None:
    """Set a convolution to the identity on its channels, group by group."""
    from torch.nn import init

    init.dirac_(weight, groups)
