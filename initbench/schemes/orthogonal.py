"""Orthogonal weights: every singular value equals the gain, so that a linear network neither shrinks nor stretches."""

import math
from typing import TYPE_CHECKING

from initbench.errors import SchemeError
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.gains import Gain, gain_value

if TYPE_CHECKING:
    from torch import Generator, Tensor


def orthogonal_std(shape: tuple[int, ...], gain: Gain) -> float:
    """Return gain / sqrt(max(rows, columns)): min(rows, columns) unit vectors spread over rows x columns entries."""
    rows, columns = shape[0], math.prod(shape[1:])
    return gain_value(gain) / math.sqrt(max(rows, columns))


@register_scheme(
    "orthogonal",
    formula="W = gain·Q, QᵀQ = I (or QQᵀ = I), Q uniform over such matrices",
    source="Saxe et al. 2014, section 3; torch.nn.init.orthogonal_",
    good_for="recurrent weights; deep linear and tanh networks",
    std=orthogonal_std,
    gain=gain_value,
)
def orthogonal(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0) -> None:
    """Draw a random (semi-)orthogonal matrix; the dimensions after the first are flattened."""
    from torch.nn import init

    init.orthogonal_(weight, gain_value(gain), generator=generator)


def delta_orthogonal_std(shape: tuple[int, ...], gain: Gain, groups: int = 1) -> float:
    """Return gain * sqrt(groups / (out * kernel size)): one vector of length `gain` for each input of each group."""
    return gain_value(gain) * math.sqrt(groups / (shape[0] * math.prod(shape[2:])))


def not_narrowing(shape: tuple[int, ...], groups: int, **params: object) -> None:
    """Raise SchemeError where a group has fewer output than input channels: no matrix could keep all norms then."""
    inputs, outputs = shape[1], shape[0] // groups
    if inputs > outputs:
        in_each_group = f" in each of the {groups} groups" if groups > 1 else ""
        raise SchemeError(
            "it needs at least as many output as input channels, and this convolution has"
            f" {inputs} input and {outputs} output channels{in_each_group}. Widen it, or choose 'orthogonal'."
        )


@register_scheme(
    "delta_orthogonal",
    formula="W[:, :, centre] = gain·Q, QᵀQ = I, in each group; else 0",
    source="Xiao et al. 2018, algorithm 2; jax.nn.initializers.delta_orthogonal",
    good_for="very deep plain convolutional networks: with circular padding an isometry; out ≥ in",
    std=delta_orthogonal_std,
    dimensions=(3, 4, 5),
    fits=not_narrowing,
)
def delta_orthogonal(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0, groups: int = 1) -> None:
    """Draw a random orthogonal matrix at the kernel's centre, one for each group, and zero elsewhere.

    The centre of an even side k is (k - 1) // 2, as in JAX: where padding="same" leaves the picture in its place.
    """
    from torch.nn import init

    centre = weight.zero_()
    for side in weight.shape[2:]:
        centre = centre.select(2, (side - 1) // 2)  # in the end [O,I/groups], a view
    for block in centre.chunk(groups):
        init.orthogonal_(block, gain_value(gain), generator=generator)
