"""Schemes for residual networks without normalization: every block starts as the identity."""

from typing import TYPE_CHECKING

from initbench.errors import SchemeError
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.filling import fill, streams
from initbench.schemes.weights import biases, weights

if TYPE_CHECKING:
    from torch import Generator, nn

    from initbench.layers import Residual


def residual_blocks(model: "nn.Module") -> dict[str, "Residual"]:
    """Return the residual blocks of `model` by name."""
    from initbench.layers import Residual

    return {name: module for name, module in model.named_modules() if isinstance(module, Residual)}


def needs_residual_blocks(model: "nn.Module", activation: str | None, **params: object) -> None:
    """Raise SchemeError for a model without residual blocks."""
    if not residual_blocks(model):
        raise SchemeError("it is for residual networks, and there is no residual block (model.residual=true has some).")


@register_scheme(
    "fixup",
    formula="He in each branch, times L^(-1/(2m-2)); last weight of each branch and of the model 0; b = 0",
    source="Zhang, Dauphin & Ma 2019, section 3",
    good_for="deep residual networks without normalization (L blocks of m layers)",
    sets_biases=True,
    fits=needs_residual_blocks,
)
def fixup(model: "nn.Module", *, generator: "Generator") -> None:
    """Scale He's weights down by the number of blocks, and start every branch and the output at 0.

    The output is the weight that the model registers last. The multiplier of each block stays 1. The scalar biases of
    the paper are contained in the biases of the layers.
    """
    stream, blocks = streams(generator), residual_blocks(model)
    found = weights(model)
    for weight in found:
        fill(weight, "he_normal", generator=stream(weight.name))
    for branch in map(weights, blocks.values()):
        for weight in branch[:-1]:
            weight.tensor.mul_(len(blocks) ** (-1 / (2 * len(branch) - 2)))
        for weight in branch[-1:]:
            weight.tensor.zero_()
    found[-1].tensor.zero_()
    for _, _, bias in biases(model):
        bias.detach().zero_()


@register_scheme(
    "skipinit",
    formula="He; the learnable multiplier of each residual branch = 0",
    source="De & Smith 2020, section 4",
    good_for="deep residual networks without normalization",
    fits=needs_residual_blocks,
)
def skipinit(model: "nn.Module", *, generator: "Generator") -> None:
    """Start every block as the identity by its multiplier, with He's weights in the branches."""
    stream = streams(generator)
    for weight in weights(model):
        fill(weight, "he_normal", generator=stream(weight.name))
    for block in residual_blocks(model).values():
        block.scale.detach().zero_()
