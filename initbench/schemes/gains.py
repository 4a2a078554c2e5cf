"""The gain of an activation: what a weight's std is multiplied with so that the signal keeps its size behind it.

The values are torch.nn.init.calculate_gain's, repeated here so that the catalogue answers without torch (a test holds
the two equal). torch defines none for elu, gelu, silu and softsign.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from initbench.errors import SchemeError

LEAKY_SLOPE = 0.01  # torch.nn.LeakyReLU's default negative_slope
NamedGain = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
Gain = Annotated[float, Field(ge=0)] | NamedGain | Literal["auto"]

GAINS: dict[str, float] = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + LEAKY_SLOPE**2)),
    "selu": 3 / 4,
}


def gain_value(gain: Gain) -> float:
    """Return the number that `gain` stands for: itself, or the gain of the activation it names.

    Raises SchemeError for "auto", which only a model's activation can settle (see `resolve_gain`).
    """
    if not isinstance(gain, str):
        return float(gain)
    if gain == "auto":
        raise SchemeError("gain=auto needs the model's activation; give a number or an activation's name.")
    return GAINS[gain]


def resolve_gain(gain: Gain, activation: str | None) -> Gain:
    """Replace "auto" by the name of `activation`; raises SchemeError where torch defines no gain for it."""
    if gain != "auto":
        return gain
    if activation is None:
        raise SchemeError("gain=auto needs an activation: pass activation=..., or give the gain as a number.")
    if activation not in GAINS:
        raise SchemeError(
            f"gain=auto: torch defines no gain for activation {activation!r}, only for {', '.join(GAINS)}."
            " Give the gain as a number, for example gain=1.0."
        )
    return activation  # type: ignore[return-value] # a key of GAINS, which are NamedGain's values
