"""A tiny RBM whose sums over all states can be written out, and data that it can learn."""

from __future__ import annotations

import torch
from torch import Tensor

from initbench.pretraining import RBM


def states(units: int) -> Tensor:
    """Return all binary vectors [2^units, units]."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * units).view(-1, units)


def random_rbm(hidden: int, visible: int, seed: int = 0, scale: float = 1.0) -> RBM:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((hidden, visible), (hidden,), (visible,))
    return RBM(*(scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes))


def negative_energy(rbm: RBM, visible: Tensor) -> Tensor:
    """Return h·W v + c·h + b·v for visible [B, V] and every hidden state: [B, 2^H]."""
    hidden = states(len(rbm.hidden_bias))
    return visible @ rbm.weight.T @ hidden.T + hidden @ rbm.hidden_bias + (visible @ rbm.visible_bias)[:, None]


def log_probability(rbm: RBM) -> Tensor:
    """Return log p(v) of every visible state, [2^V], by summing over every hidden one."""
    unnormalized = negative_energy(rbm, states(len(rbm.visible_bias))).logsumexp(1)
    return unnormalized - unnormalized.logsumexp(0)


def log_likelihood(rbm: RBM, inputs: Tensor) -> float:
    """Return the mean of log p(v) over binary `inputs` [N, V]."""
    exact = RBM(rbm.weight.double(), rbm.hidden_bias.double(), rbm.visible_bias.double())
    place = 2 ** torch.arange(inputs.shape[1] - 1, -1, -1)
    return float(log_probability(exact)[(inputs.long() * place).sum(1)].mean())


def bars_and_stripes(copies: int = 1) -> Tensor:
    """Return the 14 images [14 · copies, 9] of 3 x 3 pixels whose rows, or else columns, are all on or all off."""
    lines = states(3)
    bars = lines[:, :, None].expand(8, 3, 3).reshape(8, 9)
    stripes = lines[:, None, :].expand(8, 3, 3).reshape(8, 9)
    return torch.cat([bars, stripes]).unique(dim=0).repeat(copies, 1).float()
