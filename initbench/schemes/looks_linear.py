"""Mirrored weights: a ReLU network that starts as a linear one, x = relu(x) - relu(-x) in every layer."""

from typing import TYPE_CHECKING, Literal

from initbench.errors import SchemeError
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.filling import fill, streams
from initbench.schemes.stack import StackLayer, stack
from initbench.schemes.weights import Weight, biases

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


def needs_even_relu_stack(model: "nn.Module", activation: str | None, **params: object) -> None:
    """Raise SchemeError unless the model is a stack with ReLU, even numbers of hidden units, and no max pooling."""
    from torch.nn.modules.pooling import _MaxPoolNd

    if activation != "relu":
        raise SchemeError(f"it mirrors weights for activation relu; the model's is {activation or 'not given'}.")
    if any(isinstance(module, _MaxPoolNd) for module in model.modules()):
        raise SchemeError("max pooling is not linear, and the network would not be either (model.pool=avg is).")
    for layer in stack(model, convolutions=True)[:-1]:
        if layer.weight.groups > 1:
            raise SchemeError(
                f"grouped convolutions cannot be mirrored; {layer.name} has {layer.weight.groups} groups."
            )
        if layer.weight.shape[0] % 2:
            raise SchemeError(f"hidden layers need an even number of units; {layer.name} has {layer.weight.shape[0]}.")


@register_scheme(
    "gsm",
    aliases=("looks_linear",),
    formula="W = [[V, -V], [-V, V]]; first layer [V; -V], last [V, -V]; V orthogonal or N(0, 1/fan_in); b = 0",
    source="Balduzzi et al. 2017, section 3.1; Burkholz & Dubatovka 2019, section 2.3 (Gaussian submatrix)",
    good_for="very deep plain ReLU networks, linear at the start; an isometry where V is orthogonal in Linear layers",
    sets_biases=True,
    fits=needs_even_relu_stack,
)
def gsm(
    model: "nn.Module", *, generator: "Generator", base: Literal["orthogonal", "lecun_normal"] = "orthogonal"
) -> None:
    """Mirror each weight so that a ReLU network computes a product of matrices at the start."""
    layers, stream = stack(model, convolutions=True), streams(generator)
    for position, layer in enumerate(layers):
        from_mirrored, to_mirrored = position > 0, position < len(layers) - 1
        half = _half(layer, from_mirrored, to_mirrored)
        fill(half, base, generator=stream(layer.weight.name))
        layer.weight.tensor.copy_(_mirrored(half.tensor, from_mirrored, to_mirrored))
    for _, _, bias in biases(model):
        bias.detach().zero_()


def _half(layer: StackLayer, from_mirrored: bool, to_mirrored: bool) -> Weight:
    """Return a new weight V of the shape that is left where mirrored inputs and outputs count once."""
    outputs, inputs, *kernel = layer.weight.shape
    shape = outputs // (1 + to_mirrored), inputs // (1 + from_mirrored), *kernel
    return Weight(layer.weight.name, layer.weight.tensor.new_empty(shape), layer.module)


def _mirrored(half: "Tensor", from_mirrored: bool, to_mirrored: bool) -> "Tensor":
    import torch

    row = torch.cat([half, -half], dim=1) if from_mirrored else half
    return torch.cat([row, -row], dim=0) if to_mirrored else row
