"""The multilayer perceptron: flatten, then Linear - norm - activation - dropout per hidden layer, then Linear."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from initbench.activations import Activation, activation_module
from initbench.models import ModelOptions, register_model
from initbench.models.layerwise import Widths

if TYPE_CHECKING:
    from torch import nn


class MLPOptions(ModelOptions):
    """Options of `mlp`. `hidden` lists the widths of the hidden layers; [] is softmax regression."""

    hidden: Widths = (256, 256)
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    norm: Literal["none", "batch", "layer"] = "none"
    residual: bool = False
    bias: bool = True

    @field_validator("residual")
    @classmethod
    def _fits_blocks(cls, residual: bool, info: ValidationInfo) -> bool:
        hidden = info.data.get("hidden", (1, 1, 1))
        if residual and (len(set(hidden)) != 1 or len(hidden) < 3 or len(hidden) % 2 == 0):
            different = " of different widths" if len(set(hidden)) > 1 else ""
            raise ValueError(
                f"got true with {len(hidden)} hidden layers{different}, allowed: 3, 5, 7, ... (1 + 2 for each block) of"
                " one width. Set model.hidden, such as {width: 100, depth: 21}."
            )
        return residual


@register_model("mlp", MLPOptions)
def mlp(options: MLPOptions, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network: images [B, C, H, W] -> [B, C*H*W] -> hidden ... -> logits [B, classes].

    Layers are named fc1, norm1, act1, drop1, ..., out: the names that random streams are derived from.

    With `residual` the first hidden layer is the stem and each two further ones are a block (block1, block2, ...):
    y = act(x + scale * branch(x)), branch = fc, norm, act, drop, fc, norm (He et al. 2016, section 3.2: the activation
    follows the addition). `scale` is learned and starts at 1; a scheme may start it at 0 (SkipInit: De & Smith 2020).
    Layers keep their running numbers: block1.fc2, block1.act2, block1.fc3, then act3 after the block.
    """
    from torch import nn

    from initbench.layers import Residual

    plain = options.hidden[:1] if options.residual else options.hidden
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    width = math.prod(image_shape)
    for number, units in enumerate(plain, start=1):
        layers |= _linear(options, number, width, units) | _activation(options, number)
        width = units
    for block, number in enumerate(range(len(plain) + 1, len(options.hidden), 2), start=1):
        first = _linear(options, number, width, width) | _activation(options, number)
        layers[f"block{block}"] = Residual(OrderedDict(first | _linear(options, number + 1, width, width)))
        layers[f"act{number + 1}"] = activation_module(options.activation)
    layers["out"] = nn.Linear(width, classes, bias=options.bias)
    return nn.Sequential(OrderedDict(layers))


def _linear(options: MLPOptions, number: int, inputs: int, units: int) -> dict[str, nn.Module]:
    from torch import nn

    layers: dict[str, nn.Module] = {f"fc{number}": nn.Linear(inputs, units, bias=options.bias)}
    if options.norm != "none":
        layers[f"norm{number}"] = nn.BatchNorm1d(units) if options.norm == "batch" else nn.LayerNorm(units)
    return layers


def _activation(options: MLPOptions, number: int) -> dict[str, nn.Module]:
    from initbench.layers import SeededDropout

    layers = {f"act{number}": activation_module(options.activation)}
    if options.dropout > 0:
        layers[f"drop{number}"] = SeededDropout(options.dropout)
    return layers
