"""The multilayer perceptron: flatten, then Linear - norm - activation - dropout per hidden layer, then Linear."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, Strict

from initbench.models import ModelOptions, register_model
from initbench.models.activations import Activation, activation_module

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Strict(), Field(ge=1, le=100_000)]


class MLPOptions(ModelOptions):
    """Options of `mlp`. `hidden` lists the widths of the hidden layers; [] is softmax regression."""

    hidden: Annotated[tuple[Width, ...], Strict(False), Field(max_length=1_000)] = (256, 256)
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    norm: Literal["none", "batch", "layer"] = "none"
    bias: bool = True


@register_model("mlp", MLPOptions)
def mlp(options: MLPOptions, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network: images [B, C, H, W] -> [B, C*H*W] -> hidden ... -> logits [B, classes].

    Layers are named fc1, norm1, act1, drop1, ..., out: the names that random streams are derived from.
    """
    from torch import nn

    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = math.prod(image_shape)
    for depth, units in enumerate(options.hidden, start=1):
        layers[f"fc{depth}"] = nn.Linear(width, units, bias=options.bias)
        layers.update(_after_linear(options, depth, units))
        width = units
    layers["out"] = nn.Linear(width, classes, bias=options.bias)
    return nn.Sequential(layers)


def _after_linear(options: MLPOptions, depth: int, units: int) -> OrderedDict[str, nn.Module]:
    from torch import nn

    from initbench.layers import SeededDropout

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if options.norm != "none":
        layers[f"norm{depth}"] = nn.BatchNorm1d(units) if options.norm == "batch" else nn.LayerNorm(units)
    layers[f"act{depth}"] = activation_module(options.activation)
    if options.dropout > 0:
        layers[f"drop{depth}"] = SeededDropout(options.dropout)
    return layers
