"""The activations a model can be given, by the names that torch.nn.init.calculate_gain and the papers use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softsign", "linear"]

BOUNDS = {  # of the bounded ones, those that only users' modules have too
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
LEAKY_SLOPE = 0.01  # torch.nn.LeakyReLU's default negative_slope

MODULES: dict[Activation, str] = {
    "relu": "ReLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "softsign": "Softsign",
    "linear": "Identity",
}


def activation_module(name: Activation) -> nn.Module:
    """Return a fresh module of the activation, with torch's default parameters (leaky_relu: slope 0.01)."""
    from torch import nn

    module: nn.Module = getattr(nn, MODULES[name])()
    return module
