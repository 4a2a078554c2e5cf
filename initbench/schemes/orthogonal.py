"""Orthogonal weights: every singular value equals the gain, so that a linear network neither shrinks nor stretches."""

import math
from typing import TYPE_CHECKING

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
)
def orthogonal(weight: "Tensor", *, generator: "Generator", gain: Gain = 1.0) -> None:
    """Draw a random (semi-)orthogonal matrix; the dimensions after the first are flattened."""
    from torch.nn import init

    init.orthogonal_(weight, gain_value(gain), generator=generator)
