"""Schemes that draw every weight from one fixed distribution, whatever the layer's size."""

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from initbench.errors import SchemeError
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.claims import Normal, TruncatedNormal, Uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor

Scale = Annotated[float, Field(ge=0)]


def draw(weight: "Tensor", entries: Normal | Uniform | TruncatedNormal, generator: "Generator") -> None:
    """Overwrite every entry of `weight` with a draw of its own from `entries`."""
    from torch.nn import init

    match entries:
        case Uniform(low, high):
            init.uniform_(weight, low, high, generator=generator)
        case Normal(mean, std):
            init.normal_(weight, mean, std, generator=generator)
        case TruncatedNormal(mean, std, low, high) if std > 0:
            init.trunc_normal_(weight, mean, std, low, high, generator=generator)
        case TruncatedNormal(mean):
            init.constant_(weight, mean)


def ordered(a: float, b: float) -> None:
    """Raise SchemeError unless a < b."""
    if a >= b:
        raise SchemeError(f"the lower bound a={a} must lie below the upper bound b={b}.")


def around_the_mean(mean: float, std: float, a: float, b: float) -> None:
    """Raise SchemeError unless a < b and the mean is between them, where torch's way of drawing is exact."""
    ordered(a, b)
    if not a <= mean <= b:
        raise SchemeError(f"mean={mean} must lie within the bounds a={a} and b={b}.")


@register_scheme(
    "uniform",
    formula="W ~ U(a, b)",
    source="torch.nn.init.uniform_",
    good_for="a lesson: 'random' that ignores the layer's size",
    distribution=lambda shape, a, b: Uniform(a, b),
    check=ordered,
)
def uniform(weight: "Tensor", *, generator: "Generator", a: float = 0.0, b: float = 1.0) -> None:
    """Draw from the uniform distribution on [a, b)."""
    draw(weight, Uniform(a, b), generator)


@register_scheme(
    "normal",
    aliases=("random", "gaussian"),
    formula="W ~ N(mean, std²)",
    source="torch.nn.init.normal_",
    good_for="a lesson: N(0, 1) saturates, N(0, 0.01²) vanishes with depth",
    distribution=lambda shape, mean, std: Normal(mean, std),
)
def normal(weight: "Tensor", *, generator: "Generator", mean: float = 0.0, std: Scale = 1.0) -> None:
    """Draw from the normal distribution with `mean` and `std`."""
    draw(weight, Normal(mean, std), generator)


@register_scheme(
    "trunc_normal",
    aliases=("truncated_normal",),
    formula="W ~ N(mean, std²) cut to [a, b]; a and b are values, not multiples of std",
    source="torch.nn.init.trunc_normal_",
    good_for="transformers (std=0.02); no outliers",
    distribution=lambda shape, mean, std, a, b: TruncatedNormal(mean, std, a, b),
    check=around_the_mean,
)
def trunc_normal(
    weight: "Tensor",
    *,
    generator: "Generator",
    mean: float = 0.0,
    std: Annotated[float, Field(gt=0)] = 1.0,
    a: float = -2.0,
    b: float = 2.0,
) -> None:
    """Draw from the normal distribution, redrawn outside of [a, b]."""
    draw(weight, TruncatedNormal(mean, std, a, b), generator)


def sparse_std(shape: tuple[int, ...], sparsity: float, std: float) -> float:
    """Return the std of N(0, std^2) of which ceil(sparsity * rows) entries per column are set to 0."""
    rows = shape[0]
    return std * math.sqrt(1 - math.ceil(sparsity * rows) / rows)


@register_scheme(
    "sparse",
    formula="W ~ N(0, std²), then ceil(sparsity·out) entries of each column set to 0",
    source="Martens 2010, section 5; torch.nn.init.sparse_",
    good_for="units that start unlike each other",
    std=lambda shape, sparsity, std: sparse_std(shape, sparsity, std),
    dimensions=(2,),
)
def sparse(
    weight: "Tensor",
    *,
    generator: "Generator",
    sparsity: Annotated[float, Field(ge=0, le=1)] = 0.9,
    std: Scale = 0.01,
) -> None:
    """Draw from a normal distribution and set a share of each column to 0 (torch has no default sparsity)."""
    import torch

    torch.nn.init.normal_(weight, 0.0, std, generator=generator)
    # Not torch's sparse_: up to 2.15 it picks the zeros from the global generator, whatever `generator` is.
    zeros_per_column = math.ceil(sparsity * weight.shape[0])
    order = torch.rand(weight.shape, generator=generator).argsort(dim=0)  # [O,I]
    rank = order.argsort(dim=0)  # [O,I], each column a permutation of 0 ... O-1
    weight[rank < zeros_per_column] = 0.0
