"""Schemes for recurrent networks: what the state's way to the next state starts as."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from initbench.errors import SchemeError
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.filling import fill, streams
from initbench.schemes.gains import Gain
from initbench.schemes.weights import biases, weights

if TYPE_CHECKING:
    from torch import Generator, nn


def needs_recurrence(model: "nn.Module", activation: str | None, **params: object) -> None:
    """Raise SchemeError for a model without recurrent layers."""
    if not any(weight.is_recurrent for weight in weights(model)):
        raise SchemeError("it is for recurrent networks, and there is no recurrent layer (model.name=rnn has one).")


def needs_plain_recurrence(model: "nn.Module", activation: str | None, **params: object) -> None:
    """Raise SchemeError for a model whose recurrent layers have gates, or that has none."""
    from torch import nn

    needs_recurrence(model, activation)
    for name, module in model.named_modules():
        if isinstance(module, nn.GRU | nn.LSTM | nn.GRUCell | nn.LSTMCell):
            kind = type(module).__name__
            raise SchemeError(f"it is for recurrent layers without gates (model.cell=rnn), but {name} is a {kind}.")


@register_scheme(
    "irnn",
    formula="W_hh = scale·I, other W ~ N(0, std²), b = 0",
    source="Le, Jaitly & Hinton 2015, section 2",
    good_for="ReLU RNNs over long sequences: the state starts as a running sum",
    sets_biases=True,
    fits=needs_plain_recurrence,
)
def irnn(
    model: "nn.Module",
    *,
    generator: "Generator",
    scale: Annotated[float, Field(ge=0)] = 1.0,
    std: Annotated[float, Field(ge=0)] = 0.001,
) -> None:
    """Hand the state on as it is: recurrent weights scale times the identity, all others small, biases 0."""
    stream = streams(generator)
    for weight in weights(model):
        if weight.is_recurrent:
            fill(weight, "eye", generator=stream(weight.name))
            weight.tensor.mul_(scale)
        else:
            fill(weight, f"normal:std={std}", generator=stream(weight.name))
    for _, _, bias in biases(model):
        bias.detach().zero_()


@register_scheme(
    "orthogonal_recurrent",
    formula="W_hh = gain·Q, QᵀQ = I, each gate by itself; other W as xavier_uniform",
    source="Saxe et al. 2014, section 3; Arjovsky et al. 2016; the default of Keras' recurrent layers",
    good_for="RNN, GRU and LSTM: the state neither shrinks nor grows",
    fits=needs_recurrence,
)
def orthogonal_recurrent(model: "nn.Module", *, generator: "Generator", gain: Gain = 1.0) -> None:
    """Draw the recurrent weights as random orthogonal matrices, all others by Xavier."""
    stream = streams(generator)
    for weight in weights(model):
        rule = f"orthogonal:gain={gain}" if weight.is_recurrent else "xavier_uniform"
        fill(weight, rule, generator=stream(weight.name))
