"""Layer-sequential unit variance: measure each layer's output on a batch, and divide its weight by the std."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from initbench.errors import SchemeError
from initbench.events import InitStep
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.filling import fill, streams
from initbench.schemes.samples import Samples
from initbench.schemes.weights import weights

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

ON = ("Linear", "Conv1d", "Conv2d", "Conv3d")


def needs_linear_or_convolutions(model: "nn.Module", activation: str | None, **params: object) -> None:
    """Raise SchemeError for a model that has other weights than those of Linear layers and convolutions."""
    for weight in weights(model):
        kind = type(weight.owner).__name__
        if kind not in ON:
            raise SchemeError(f"it is for Linear and convolution layers, but {weight.layer} is a {kind}.")


@register_scheme(
    "lsuv",
    formula="W orthogonal, then layer by layer W ← W / std(W x + b) until |std - 1| ≤ tol",
    source="Mishkin & Matas 2016, algorithm 1",
    good_for="deep networks of any activation; the scale is measured, not derived",
    needs="a batch",
    fits=needs_linear_or_convolutions,
)
def lsuv(
    model: "nn.Module",
    *,
    generator: "Generator",
    data: Samples,
    report: Callable[[InitStep], None],
    tol: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    attempts: Annotated[int, Field(ge=1, le=1_000)] = 10,
    batch_size: Annotated[int, Field(ge=2, le=100_000)] = 500,
) -> None:
    """Start orthonormal, then give every layer's output unit variance on one batch, from the first layer to the last.

    One pass through the network: each layer is rescaled as soon as the batch reaches it, before the batch goes on.
    `tol` and `attempts` as in the authors' implementations. Raises SchemeError for a layer whose output is constant.
    """
    import torch

    stream, found = streams(generator), weights(model)
    for weight in found:
        fill(weight, "orthogonal", generator=stream(weight.name))
    names = {weight.owner: weight.layer for weight in found}
    done: set[str] = set()

    def rescale(layer: "nn.Module", inputs: tuple[Any, ...], output: "Tensor") -> "Tensor | None":
        name = names[layer]
        if name in done:  # a layer that is used twice
            return None
        done.add(name)
        report(InitStep(f"lsuv: {name}", len(done), len(names)))
        return _unit_variance(layer, name, inputs, output, tol, attempts)

    images, _ = data.draw(batch_size, stream("batch"), model)
    hooks = [layer.register_forward_hook(rescale) for layer in names]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()


def _unit_variance(
    layer: "nn.Module", name: str, inputs: tuple[Any, ...], output: "Tensor", tol: float, attempts: int
) -> "Tensor":
    """Rescale the weight of one layer; return its output with the new weight."""
    weight: Tensor = layer.weight.detach()  # type: ignore[operator] # the layers of ON have one
    for _ in range(attempts):
        std = float(output.std())
        if not 0 < std < float("inf"):
            raise SchemeError(
                f"scheme 'lsuv': the output of {name or 'the layer'} has std {std} on the batch; it cannot be rescaled."
            )
        if abs(std - 1) <= tol:
            break
        weight.div_(std)
        output = layer.forward(*inputs)
    return output
