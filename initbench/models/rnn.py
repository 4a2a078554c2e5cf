"""The recurrent network: an image read row by row or pixel by pixel, the last state, then Linear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from initbench import seeds
from initbench.models import ModelOptions, register_model
from initbench.models.layerwise import Width

if TYPE_CHECKING:
    from torch import nn


class RNNOptions(ModelOptions):
    """Options of `rnn`: `layers` cells of `hidden` units each, stacked.

    `input: rows` reads H steps of C*W values, `pixels` H*W steps of C values, in the fixed random order of the seed
    `permutation` where one is given. `activation` is that of the cell `rnn`; gru and lstm have their own.
    """

    cell: Literal["rnn", "gru", "lstm"] = "rnn"
    hidden: Width = 128
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    input: Literal["rows", "pixels"] = "rows"
    permutation: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    activation: Literal["tanh", "relu"] = "tanh"
    bias: bool = True

    @field_validator("permutation")
    @classmethod
    def _permutes_pixels(cls, permutation: int | None, info: ValidationInfo) -> int | None:
        if permutation is not None and info.data.get("input") == "rows":
            raise ValueError(f"got {permutation}, but only pixels are permuted. Set model.input: pixels.")
        return permutation

    @field_validator("activation")
    @classmethod
    def _belongs_to_cell(cls, activation: str, info: ValidationInfo) -> str:
        cell = info.data.get("cell", "rnn")
        if activation != "tanh" and cell != "rnn":
            raise ValueError(f"got {activation!r}, but the cell {cell} has tanh built in. Set model.cell: rnn.")
        return activation


@register_model("rnn", RNNOptions)
def rnn(options: RNNOptions, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network: images [B, C, H, W] -> steps [T, B, I] -> last state [B, hidden] -> logits [B, classes].

    Parameters are named as torch does, rnn.weight_ih_l0, rnn.weight_hh_l0, ..., and out.weight. Cells: Elman 1990
    (rnn), Cho et al. 2014 (gru), Hochreiter & Schmidhuber 1997 (lstm). Pixel by pixel, also permuted: Le et al. 2015,
    section 4.2. The permutation is drawn from the stream (permutation, "pixels"), the same whatever the run's seed.
    """
    import torch
    from torch import nn

    from initbench.layers import ImageRNN

    channels, height, width = image_shape
    inputs = channels if options.input == "pixels" else channels * width
    shape = (inputs, options.hidden, options.layers)
    recurrent: nn.RNNBase
    if options.cell == "rnn":
        recurrent = nn.RNN(*shape, nonlinearity=options.activation, bias=options.bias)
    else:
        recurrent = (nn.GRU if options.cell == "gru" else nn.LSTM)(*shape, bias=options.bias)
    order = None
    if options.permutation is not None:
        order = torch.randperm(height * width, generator=seeds.stream(options.permutation, "pixels"))
    out = nn.Linear(options.hidden, classes, bias=options.bias)
    return ImageRNN(recurrent, out, by=options.input, order=order)
