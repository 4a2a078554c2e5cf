"""ZerO: a start without randomness in which, unlike with a padded identity, no unit of a widening layer is dead."""

import math
from typing import TYPE_CHECKING

from initbench.schemes.catalogue import register_scheme

if TYPE_CHECKING:
    from torch import Generator, Tensor


def order_exponent(rows: int) -> int:
    """Return c = ceil(log2(rows)): the smallest Hadamard matrix with that many rows is 2^c x 2^c."""
    return (rows - 1).bit_length()


def leading_sum(rows: int, columns: int, exponent: int) -> int:
    """Return the sum of the first rows x columns entries of the 2^exponent x 2^exponent Hadamard matrix.

    H = [[G, G], [G, -G]]; of whole rows or columns all but the first sum to 0.
    """
    if rows == 0 or columns == 0:
        return 0
    if 2**exponent in (rows, columns):
        return int(2**exponent)
    half = 2 ** (exponent - 1)
    top, left = min(rows, half), min(columns, half)
    bottom, right = rows - top, columns - left
    above = leading_sum(top, left, exponent - 1) + leading_sum(top, right, exponent - 1)
    return above + leading_sum(bottom, left, exponent - 1) - leading_sum(bottom, right, exponent - 1)


def zero_hadamard_std(shape: tuple[int, ...], groups: int = 1) -> float:
    """Return v sqrt(p (1 - p m^2)): a share p of the entries is v or -v, with mean sign m, the others are 0."""
    rows, columns, kernel_size = shape[0] // groups, shape[1], math.prod(shape[2:])
    if rows <= columns:
        size, share, sign = 1.0, 1 / (columns * kernel_size), 1.0
    else:
        exponent = order_exponent(rows)
        size, share = 2 ** (-exponent / 2), 1 / kernel_size
        sign = leading_sum(rows, columns, exponent) / (rows * columns)
    return size * math.sqrt(share * (1 - share * sign**2))


def zero_matrix(rows: int, columns: int) -> "Tensor":
    """Return [rows, columns]: the (partial) identity, or with rows > columns the corner of H / 2^(c/2)."""
    import torch
    from scipy.linalg import hadamard

    if rows <= columns:
        return torch.eye(rows, columns)
    # H[i, j] is the parity of the bits that i and j share: of i only the lowest, which columns have, count.
    period = 2 ** order_exponent(columns)
    block = torch.from_numpy(hadamard(period, dtype=float))[:, :columns]
    return block[torch.arange(rows) % period] / 2 ** (order_exponent(rows) / 2)


@register_scheme(
    "zero_hadamard",
    formula="W = I* if out ≤ in, else I*·H/2^(c/2)·I*, H the 2^c Hadamard matrix, c = ceil(log2 out)",
    source="Zhao et al. 2022 (ZerO), algorithms 1 and 2; normalized as in the authors' code",
    good_for="starting without randomness (with init.bias=zeros); residual networks",
    std=zero_hadamard_std,
)
def zero_hadamard(weight: "Tensor", *, generator: "Generator", groups: int = 1) -> None:
    """Set a matrix to the identity (I* cuts or pads it) and, where it widens, to a Hadamard transform.

    A convolution's matrix, one for each group, sits at the centre of its kernel (k // 2), zero elsewhere.
    """
    centre = weight.zero_()
    for side in weight.shape[2:]:
        centre = centre.select(2, side // 2)  # in the end [O,I/groups], a view
    centre.copy_(zero_matrix(weight.shape[0] // groups, weight.shape[1]).repeat(groups, 1))
