"""Variance scaling: Var(W) = gain^2 / fan. Xavier, He, LeCun and PyTorch's default are settings of this one rule."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from initbench.schemes.catalogue import register_scheme
from initbench.schemes.claims import Normal, TruncatedNormal, Uniform
from initbench.schemes.distributions import draw
from initbench.schemes.fans import Mode, fan
from initbench.schemes.gains import Gain, gain_value

if TYPE_CHECKING:
    from torch import Generator, Tensor

Kind = Literal["normal", "truncated_normal", "uniform"]
GLOROT = "Glorot & Bengio 2010, section 4.2.1, eq. 12 and 16"
HE = "He et al. 2015, section 2.2, eq. 10 and 14"
LECUN = "LeCun et al. 1998, section 4.6; Klambauer et al. 2017"
# kaiming_uniform_(a=sqrt(5)) has gain sqrt(2 / (1 + 5)), which makes the bound 1/sqrt(fan_in)
PYTORCH_GAIN = 1 / math.sqrt(3)
TRUNCATED_STD = 0.87962566103423978  # std of N(0, 1) cut at +-2; the digits are those of Keras and JAX


def entries(shape: tuple[int, ...], gain: Gain, mode: Mode, kind: Kind) -> Normal | TruncatedNormal | Uniform:
    """Return the distribution of this kind, around 0, whose std is gain / sqrt(fan) for a weight [out, in, *kernel].

    The normal is cut, where it is, at 2 of its std, and widened before that so that the std after the cut is right.
    """
    std = gain_value(gain) / math.sqrt(fan(shape, mode))
    if kind == "uniform":
        bound = math.sqrt(3.0) * std
        return Uniform(-bound, bound)
    if kind == "normal":
        return Normal(0.0, std)
    widened = std / TRUNCATED_STD
    return TruncatedNormal(0.0, widened, -2 * widened, 2 * widened)


def fill(weight: "Tensor", generator: "Generator", gain: Gain, mode: Mode, kind: Kind) -> None:
    """Draw every entry of `weight` from `entries` of its shape."""
    draw(weight, entries(tuple(weight.shape), gain, mode, kind), generator)


def normal_kind(truncated: bool) -> Kind:
    """Return the kind of normal that the parameter `truncated` of the named rules stands for."""
    return "truncated_normal" if truncated else "normal"


@register_scheme(
    "variance_scaling",
    formula="Var(W) = scale / fan; truncated_normal: cut at ±2 std, same variance",
    source="keras.initializers.VarianceScaling; jax.nn.initializers.variance_scaling",
    good_for="any of this family, as Keras and JAX write it",
    distribution=lambda shape, scale, mode, distribution: entries(shape, math.sqrt(scale), mode, distribution),
)
def variance_scaling(
    weight: "Tensor",
    *,
    generator: "Generator",
    scale: Annotated[float, Field(gt=0)] = 1.0,
    mode: Mode = "fan_in",
    distribution: Kind = "truncated_normal",
) -> None:
    """Draw from a distribution of any kind with Var(W) = scale / fan; the defaults are those of Keras."""
    fill(weight, generator, math.sqrt(scale), mode, distribution)


@register_scheme(
    "xavier_uniform",
    aliases=("xavier", "glorot_uniform", "glorot"),
    formula="W ~ U(±gain·sqrt(6 / (fan_in + fan_out)))",
    source=GLOROT,
    good_for="tanh, sigmoid, softsign; the default of Keras",
    distribution=lambda shape, gain: entries(shape, gain, "fan_avg", "uniform"),
)
def xavier_uniform(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0) -> None:
    """Keep the variance of activations and gradients alike: Var(W) = 2 gain^2 / (fan_in + fan_out), uniform."""
    fill(weight, generator, gain, "fan_avg", "uniform")


@register_scheme(
    "xavier_normal",
    aliases=("glorot_normal",),
    formula="W ~ N(0, gain²·2 / (fan_in + fan_out)); truncated: cut at ±2 std, same variance",
    source=GLOROT,
    good_for="tanh, sigmoid, softsign",
    distribution=lambda shape, gain, truncated: entries(shape, gain, "fan_avg", normal_kind(truncated)),
)
def xavier_normal(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0, truncated: bool = False) -> None:
    """Keep the variance of activations and gradients alike: Var(W) = 2 gain^2 / (fan_in + fan_out), normal.

    `truncated`, as the rules of this name in Keras and JAX are; torch's is not.
    """
    fill(weight, generator, gain, "fan_avg", normal_kind(truncated))


@register_scheme(
    "he_uniform",
    aliases=("he", "kaiming_uniform", "kaiming"),
    formula="W ~ U(±gain·sqrt(3 / fan)), gain = sqrt(2)",
    source=HE,
    good_for="relu and its relatives",
    distribution=lambda shape, gain, mode: entries(shape, gain, mode, "uniform"),
)
def he_uniform(weight: "Tensor", *, generator: "Generator", gain: Gain = "relu", mode: Mode = "fan_in") -> None:
    """Make up for the half that a ReLU cuts away: Var(W) = 2 / fan_in, uniform."""
    fill(weight, generator, gain, mode, "uniform")


@register_scheme(
    "he_normal",
    aliases=("kaiming_normal",),
    formula="W ~ N(0, gain² / fan), gain = sqrt(2); truncated: cut at ±2 std, same variance",
    source=HE,
    good_for="relu and its relatives",
    distribution=lambda shape, gain, mode, truncated: entries(shape, gain, mode, normal_kind(truncated)),
)
def he_normal(
    weight: "Tensor",
    *,
    generator: "Generator",
    gain: Gain = "relu",
    mode: Mode = "fan_in",
    truncated: bool = False,
) -> None:
    """Make up for the half that a ReLU cuts away: Var(W) = 2 / fan_in, normal.

    `truncated`, as the rules of this name in Keras and JAX are; torch's is not.
    """
    fill(weight, generator, gain, mode, normal_kind(truncated))


@register_scheme(
    "lecun_uniform",
    formula="W ~ U(±sqrt(3 / fan_in))",
    source=LECUN,
    good_for="selu, tanh, linear",
    distribution=lambda shape: entries(shape, 1.0, "fan_in", "uniform"),
)
def lecun_uniform(weight: "Tensor", *, generator: "Generator") -> None:
    """Keep the variance of a linear unit's input: Var(W) = 1 / fan_in, uniform."""
    fill(weight, generator, 1.0, "fan_in", "uniform")


@register_scheme(
    "lecun_normal",
    formula="W ~ N(0, 1 / fan_in); truncated: cut at ±2 std, same variance",
    source=LECUN,
    good_for="selu, tanh, linear",
    distribution=lambda shape, truncated: entries(shape, 1.0, "fan_in", normal_kind(truncated)),
)
def lecun_normal(weight: "Tensor", *, generator: "Generator", truncated: bool = False) -> None:
    """Keep the variance of a linear unit's input: Var(W) = 1 / fan_in, normal.

    `truncated`, as the rules of this name in Keras and JAX are; torch's is not.
    """
    fill(weight, generator, 1.0, "fan_in", normal_kind(truncated))


@register_scheme(
    "default",
    aliases=("pytorch",),
    formula="W ~ U(±1 / sqrt(fan_in))",
    source="torch.nn.Linear, torch.nn.Conv2d; the 'standard' heuristic of Glorot & Bengio 2010, eq. 1",
    good_for="a baseline: what PyTorch does by itself",
    distribution=lambda shape: entries(shape, PYTORCH_GAIN, "fan_in", "uniform"),
)
def default(weight: "Tensor", *, generator: "Generator") -> None:
    """Do what PyTorch does by itself in Linear and Conv: kaiming_uniform_(a=sqrt(5)), so Var(W) = 1 / (3 fan_in)."""
    fill(weight, generator, PYTORCH_GAIN, "fan_in", "uniform")
