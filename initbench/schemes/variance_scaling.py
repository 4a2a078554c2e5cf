"""Variance scaling: Var(W) = gain^2 / fan. Xavier, He, LeCun and PyTorch's default are four settings of this rule."""

import math
from typing import TYPE_CHECKING

from initbench.schemes.catalogue import register_scheme
from initbench.schemes.fans import Mode, fan
from initbench.schemes.gains import Gain, gain_value

if TYPE_CHECKING:
    from torch import Generator, Tensor

GLOROT = "Glorot & Bengio 2010, section 4.2.1, eq. 12 and 16"
HE = "He et al. 2015, section 2.2, eq. 10 and 14"
LECUN = "LeCun et al. 1998, section 4.6; Klambauer et al. 2017"
# kaiming_uniform_(a=sqrt(5)) has gain sqrt(2 / (1 + 5)), which makes the bound 1/sqrt(fan_in)
PYTORCH_GAIN = 1 / math.sqrt(3)


def scaled_std(shape: tuple[int, ...], gain: Gain, mode: Mode) -> float:
    """Return gain / sqrt(fan), the standard deviation of a weight of `shape` [out, in, *kernel]."""
    return gain_value(gain) / math.sqrt(fan(shape, mode))


def fill_uniform(weight: "Tensor", generator: "Generator", gain: Gain, mode: Mode) -> None:
    """Draw from U(-b, b) with b = sqrt(3) * std."""
    from torch.nn import init

    bound = math.sqrt(3.0) * scaled_std(tuple(weight.shape), gain, mode)
    init.uniform_(weight, -bound, bound, generator=generator)


def fill_normal(weight: "Tensor", generator: "Generator", gain: Gain, mode: Mode) -> None:
    """Draw from N(0, std^2)."""
    from torch.nn import init

    init.normal_(weight, 0.0, scaled_std(tuple(weight.shape), gain, mode), generator=generator)


@register_scheme(
    "xavier_uniform",
    aliases=("xavier", "glorot_uniform", "glorot"),
    formula="W ~ U(±gain·sqrt(6 / (fan_in + fan_out)))",
    source=GLOROT,
    good_for="tanh, sigmoid, softsign; the default of Keras",
    std=lambda shape, gain: scaled_std(shape, gain, "fan_avg"),
)
def xavier_uniform(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0) -> None:
    """Keep the variance of activations and gradients alike: Var(W) = 2 gain^2 / (fan_in + fan_out), uniform."""
    fill_uniform(weight, generator, gain, "fan_avg")


@register_scheme(
    "xavier_normal",
    aliases=("glorot_normal",),
    formula="W ~ N(0, gain²·2 / (fan_in + fan_out))",
    source=GLOROT,
    good_for="tanh, sigmoid, softsign",
    std=lambda shape, gain: scaled_std(shape, gain, "fan_avg"),
)
def xavier_normal(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0) -> None:
    """Keep the variance of activations and gradients alike: Var(W) = 2 gain^2 / (fan_in + fan_out), normal."""
    fill_normal(weight, generator, gain, "fan_avg")


@register_scheme(
    "he_uniform",
    aliases=("he", "kaiming_uniform", "kaiming"),
    formula="W ~ U(±gain·sqrt(3 / fan)), gain = sqrt(2)",
    source=HE,
    good_for="relu and its relatives",
    std=lambda shape, gain, mode: scaled_std(shape, gain, mode),
)
def he_uniform(weight: "Tensor", *, generator: "Generator", gain: Gain = "relu", mode: Mode = "fan_in") -> None:
    """Make up for the half that a ReLU cuts away: Var(W) = 2 / fan_in, uniform."""
    fill_uniform(weight, generator, gain, mode)


@register_scheme(
    "he_normal",
    aliases=("kaiming_normal",),
    formula="W ~ N(0, gain² / fan), gain = sqrt(2)",
    source=HE,
    good_for="relu and its relatives",
    std=lambda shape, gain, mode: scaled_std(shape, gain, mode),
)
def he_normal(weight: "Tensor", *, generator: "Generator", gain: Gain = "relu", mode: Mode = "fan_in") -> None:
    """Make up for the half that a ReLU cuts away: Var(W) = 2 / fan_in, normal."""
    fill_normal(weight, generator, gain, mode)


@register_scheme(
    "lecun_uniform",
    formula="W ~ U(±sqrt(3 / fan_in))",
    source=LECUN,
    good_for="selu, tanh, linear",
    std=lambda shape: scaled_std(shape, 1.0, "fan_in"),
)
def lecun_uniform(weight: "Tensor", *, generator: "Generator") -> None:
    """Keep the variance of a linear unit's input: Var(W) = 1 / fan_in, uniform."""
    fill_uniform(weight, generator, 1.0, "fan_in")


@register_scheme(
    "lecun_normal",
    formula="W ~ N(0, 1 / fan_in)",
    source=LECUN,
    good_for="selu, tanh, linear",
    std=lambda shape: scaled_std(shape, 1.0, "fan_in"),
)
def lecun_normal(weight: "Tensor", *, generator: "Generator") -> None:
    """Keep the variance of a linear unit's input: Var(W) = 1 / fan_in, normal."""
    fill_normal(weight, generator, 1.0, "fan_in")


@register_scheme(
    "default",
    aliases=("pytorch",),
    formula="W ~ U(±1 / sqrt(fan_in))",
    source="torch.nn.Linear, torch.nn.Conv2d; the 'standard' heuristic of Glorot & Bengio 2010, eq. 1",
    good_for="a baseline: what PyTorch does by itself",
    std=lambda shape: scaled_std(shape, PYTORCH_GAIN, "fan_in"),
)
def default(weight: "Tensor", *, generator: "Generator") -> None:
    """Do what PyTorch does by itself in Linear and Conv: kaiming_uniform_(a=sqrt(5)), so Var(W) = 1 / (3 fan_in)."""
    fill_uniform(weight, generator, PYTORCH_GAIN, "fan_in")
