"""A plain stack: layers one after the other, nothing beside them. What layer-by-layer schemes are defined on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initbench.errors import SchemeError
from initbench.schemes.weights import Weight, weights

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class StackLayer:
    """One layer of a stack: its name, its module (Linear or a convolution) and its weight."""

    name: str
    module: Any
    weight: Weight


def stack(model: nn.Module, *, convolutions: bool = False) -> list[StackLayer]:
    """Return the layers of `model`, from the input to the output.

    A stack is made of nn.Sequential, Linear layers (with `convolutions`, these too) and modules without parameters.
    Raises SchemeError for any other model, and for one without a hidden layer.
    """
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    kinds = (nn.Linear, _ConvNd) if convolutions else (nn.Linear,)
    what = "Linear and convolution layers" if convolutions else "Linear layers"
    for name, module in model.named_modules():
        has_parameters = any(True for _ in module.parameters())
        if has_parameters and not isinstance(module, kinds) and type(module) is not nn.Sequential:
            raise SchemeError(
                f"it is for plain stacks of {what}, but {name or 'the model'} is of class {type(module).__name__}."
                " Choose another scheme or another model."
            )
    found = [StackLayer(weight.layer, weight.owner, weight) for weight in weights(model)]
    if len(found) < 2:
        raise SchemeError("it needs a hidden layer, and there is none.")
    return found
