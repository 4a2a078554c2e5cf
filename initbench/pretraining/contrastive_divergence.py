"""One step of contrastive divergence, in place: no autograd, no allocation, one matrix product for both means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from initbench.pretraining.epochs import Parameters


@dataclass(frozen=True)
class Rates:
    """How far a step goes: `lr` times the gradient, plus `momentum` times the step before."""

    lr: float
    momentum: float
    weight_decay: float


class ContrastiveDivergence:
    """Moves `parameters`, in place, along the difference between the data and a chain of k Gibbs steps.

    ΔW = lr (⟨ĥ vᵀ⟩_data - ⟨ĥ vᵀ⟩_chain - weight_decay W),    ĥ = p(h = 1 | v) = σ(W v + c)

    The chain starts from the data of each step; `persistent`, from the ĥ that it ended with at the last step, of which
    it samples first (0 at the start). There are then `batch_size` chains, however small the batch is.
    """

    def __init__(self, parameters: Parameters, rates: Rates, batch_size: int, k: int, persistent: bool) -> None:
        self.parameters = parameters
        self.rates = rates
        self.k = k
        self.persistent = persistent
        self._weight_t = parameters.weight.mT  # [V,H]
        self._velocity = Parameters(*map(torch.zeros_like, parameters)) if rates.momentum else None
        self._buffers = _buffers(parameters.weight, batch_size)
        self._rows: dict[int, _Rows] = {}  # by the size of the batch: the full one, and the last one of an epoch

    def step(self, inputs: Tensor, index: Tensor, generator: Generator) -> None:
        """Take one step on the rows `index` [B] of `inputs` [N, V]; B is `batch_size` or less."""
        rows = self._rows_for(len(index))
        torch.index_select(inputs, 0, index, out=rows.data_visible)
        torch.addmm(self.parameters.hidden_bias, rows.data_visible, self._weight_t, out=rows.data_hidden).sigmoid_()
        self._run_chain(rows, generator)
        self._ascend(rows)

    def _rows_for(self, batch: int) -> _Rows:
        if batch not in self._rows:
            chains = len(self._buffers.sample) if self.persistent else batch
            self._rows[batch] = _Rows(self._buffers, chains, batch)
        return self._rows[batch]

    def _run_chain(self, rows: _Rows, generator: Generator) -> None:
        """Leave the chain's sampled v and its ĥ in `rows`. A unit of probability p is on where p > u, u in [0, 1)."""
        weight, hidden_bias, visible_bias = self.parameters
        probability = rows.chain_hidden if self.persistent else rows.data_hidden
        for _ in range(self.k):
            torch.gt(probability, rows.hidden_noise.uniform_(generator=generator), out=rows.sample)
            torch.addmm(visible_bias, rows.sample, weight, out=rows.chain_visible).sigmoid_()
            rows.chain_visible.gt_(rows.visible_noise.uniform_(generator=generator))
            torch.addmm(hidden_bias, rows.chain_visible, self._weight_t, out=rows.chain_hidden).sigmoid_()
            probability = rows.chain_hidden

    def _ascend(self, rows: _Rows) -> None:
        """Add the step to the parameters; without momentum, straight from the products."""
        lr, momentum, weight_decay = self.rates.lr, self.rates.momentum, self.rates.weight_decay
        target, keep, keep_weight = self._velocity, momentum, momentum
        if target is None:
            target, keep, keep_weight = self.parameters, 1.0, 1 - lr * weight_decay
        rows.chain_visible.mul_(rows.chain_scale)
        rate = lr / rows.batch  # B times a mean is what the products below give
        target.weight.addmm_(rows.hidden_t, rows.visible, beta=keep_weight, alpha=rate)  # [H,C+B] x [C+B,V] -> [H,V]
        target.hidden_bias.addmv_(rows.hidden_t, rows.scales, beta=keep, alpha=rate)
        target.visible_bias.addmv_(rows.visible_t, rows.ones, beta=keep, alpha=rate)
        if self._velocity is not None:
            if weight_decay:
                self._velocity.weight.add_(self.parameters.weight, alpha=-lr * weight_decay)
            for parameter, velocity in zip(self.parameters, self._velocity, strict=True):
                parameter.add_(velocity)


class _Buffers(NamedTuple):
    """The memory of all steps; S is the full batch's size. Chain and data lie side by side in the first two."""

    visible: Tensor  # [2S,V]
    hidden: Tensor  # [2S,H]
    sample: Tensor  # [S,H]
    hidden_noise: Tensor  # [S,H]
    visible_noise: Tensor  # [S,V]


def _buffers(like: Tensor, size: int) -> _Buffers:
    hidden, visible = like.shape
    rows = ((2 * size, visible), (2 * size, hidden), (size, hidden), (size, hidden), (size, visible))
    return _Buffers(*(like.new_zeros(shape) for shape in rows))


class _Rows:
    """The views that a step works in: C rows of the chain, then B rows of data.

    The two means are one product over all C + B rows: those of the chain count -B / C, the others 1. For W and b this
    factor goes into the chain's v, for c into `scales`; the chain's ĥ stays what it is, a persistent chain needs it.
    """

    def __init__(self, buffers: _Buffers, chains: int, batch: int) -> None:
        size = len(buffers.sample)
        used = slice(size - chains, size + batch)
        self.batch = batch
        self.chain_scale = -batch / chains
        self.visible, self.hidden = buffers.visible[used], buffers.hidden[used]  # [C+B,V], [C+B,H]
        self.visible_t, self.hidden_t = self.visible.mT, self.hidden.mT
        self.chain_visible, self.data_visible = self.visible[:chains], self.visible[chains:]  # [C,V], [B,V]
        self.chain_hidden, self.data_hidden = self.hidden[:chains], self.hidden[chains:]  # [C,H], [B,H]
        self.sample = buffers.sample[:chains]  # [C,H]
        self.hidden_noise, self.visible_noise = buffers.hidden_noise[:chains], buffers.visible_noise[:chains]
        self.ones = self.visible.new_ones(chains + batch)
        self.scales = self.ones.clone()
        self.scales[:chains] = self.chain_scale
