"""The gain of an activation: what a weight's std is multiplied with so that the signal keeps its size behind it.

Where torch.nn.init.calculate_gain has a value it is that one, repeated here so that the catalogue answers without torch
(a test holds the two equal). For the others (elu, gelu, silu, softsign) it is 1 / sqrt(E[phi(z)^2]), z ~ N(0, 1): with
weights of std gain / sqrt(fan_in), pre-activations of unit variance keep it in the next layer.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from initbench.activations import LEAKY_SLOPE, Activation
from initbench.errors import SchemeError

NamedGain = Activation
Gain = Annotated[float, Field(ge=0)] | NamedGain | Literal["auto"]

GAINS: dict[str, float] = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + LEAKY_SLOPE**2)),
    "selu": 3 / 4,
}
TORCH_ORIGIN = "torch.nn.init.calculate_gain"
QUADRATURE_ORIGIN = "1/sqrt(E[phi(z)^2])"


class GainRow(NamedTuple):
    """The gain in use for an activation, where it comes from, and 1 / sqrt(E[phi(z)^2]) to hold beside it."""

    activation: str
    gain: float
    origin: str
    quadrature: float


def gain_table() -> list[GainRow]:
    """Return the gain of every activation: torch's first, then those by quadrature."""
    return [
        GainRow(name, gain_value(name), TORCH_ORIGIN if name in GAINS else QUADRATURE_ORIGIN, quadrature_gain(name))
        for name in sorted(get_args(Activation), key=lambda name: name not in GAINS)
    ]


@lru_cache
def quadrature_gain(activation: str) -> float:
    """Return 1 / sqrt(E[phi(z)^2]), z ~ N(0, 1); raises SchemeError for an unknown activation."""
    from initbench.mean_field import second_moment

    return 1 / math.sqrt(second_moment(activation, 1.0))


def gain_value(gain: Gain) -> float:
    """Return the number that `gain` stands for: itself, or the gain of the activation it names.

    Raises SchemeError for "auto", which only a model's activation can settle (see `resolve_gain`).
    """
    if not isinstance(gain, str):
        return float(gain)
    if gain == "auto":
        raise SchemeError("gain=auto needs the model's activation; give a number or an activation's name.")
    return GAINS[gain] if gain in GAINS else quadrature_gain(gain)


def resolve_gain(gain: Gain, activation: str | None) -> Gain:
    """Replace "auto" by the name of `activation`; raises SchemeError without one, or for one without a gain."""
    if gain != "auto":
        return gain
    if activation is None:
        raise SchemeError("gain=auto needs an activation: pass activation=..., or give the gain as a number.")
    if activation not in get_args(Activation):
        raise SchemeError(
            f"gain=auto: no gain is known for activation {activation!r}, only for {', '.join(get_args(Activation))}."
            " Give the gain as a number, for example gain=1.0."
        )
    return activation  # type: ignore[return-value] # one of the names in Activation
