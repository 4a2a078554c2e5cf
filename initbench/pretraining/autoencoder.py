"""Denoising autoencoders: one sigmoid layer that learns to restore inputs of which a part was erased."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from initbench.pretraining.epochs import (
    EpochStatistics,
    OnEpoch,
    Parameters,
    Watch,
    require_counts,
    require_finite,
    require_inputs,
    require_number,
    shuffled,
    squared_error,
    watch,
)


@dataclass(frozen=True, eq=False)
class Encoder:
    """The half of an autoencoder that is kept: y = σ(W x + c). `weight` has the layout of torch.nn.Linear."""

    weight: Tensor  # W [H,V]
    hidden_bias: Tensor  # c [H]

    def encode(self, inputs: Tensor) -> Tensor:
        """Return y = σ(W x + c) [B, H] for inputs [B, V]."""
        return torch.addmm(self.hidden_bias, inputs, self.weight.mT).sigmoid_()


def fit_denoising_autoencoder(
    inputs: Tensor,
    hidden: int,
    *,
    generator: Generator,
    corruption: float = 0.3,
    epochs: int = 10,
    batch_size: int = 100,
    lr: float = 0.1,
    on_epoch: OnEpoch | None = None,
) -> Encoder:
    """Return the encoder of a denoising autoencoder learned from `inputs` [N, V], float32 or float64 in [0, 1].

    Each element of x is set to 0 with probability `corruption` (masking noise), which makes x̃, and

        y = σ(W x̃ + c),    z = σ(Wᵀy + b),    loss = -Σ_i [x_i log z_i + (1 - x_i) log(1 - z_i)]

    summed over the units and averaged over the batch, is descended by plain SGD of rate `lr`; encoder and decoder share
    W. The last batch of an epoch may be smaller. W starts from U(±4 √(6 / (H + V))), b and c from 0; the inputs are
    shuffled each epoch. Every draw is from `generator`, which is on the device of `inputs`. `on_epoch` hears how each
    epoch went; it does not change the result.

    Raises SchemeError where an argument is out of its range or a weight stops being finite.
    Source: Vincent et al. 2010, "Stacked denoising autoencoders", sections 2.3 and 3; the start is that of the LISA
    lab's Deep Learning Tutorials, chapter "Denoising Autoencoders", for sigmoid units (after Glorot & Bengio 2010).
    """
    require_inputs(inputs, generator)
    require_counts(hidden=hidden, epochs=epochs, batch_size=batch_size)
    require_number("corruption", corruption, 0 <= corruption < 1, "in [0, 1)")
    require_number("lr", lr, lr > 0, "above 0")
    with torch.no_grad():
        parameters = start(inputs, hidden, generator)
        watched = watch(inputs, generator)
        learner = DenoisingDescent(parameters, lr, corruption, min(batch_size, len(inputs)))
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            for index in shuffled(len(inputs), batch_size, generator):
                learner.step(inputs, index, generator)
            require_finite(parameters, "the denoising autoencoder", epoch, epochs, lr)
            if on_epoch is not None:
                on_epoch(_statistics(parameters, watched, epoch, epochs, started))
    return Encoder(parameters.weight, parameters.hidden_bias)


def start(inputs: Tensor, hidden: int, generator: Generator) -> Parameters:
    """Return the parameters before the first step, of the dtype and on the device of `inputs` [N, V]."""
    visible = inputs.shape[1]
    bound = 4 * math.sqrt(6 / (hidden + visible))
    weight = inputs.new_empty(hidden, visible).uniform_(-bound, bound, generator=generator)
    return Parameters(weight, inputs.new_zeros(hidden), inputs.new_zeros(visible))


def _statistics(parameters: Parameters, watched: Watch, epoch: int, epochs: int, started: float) -> EpochStatistics:
    weight, hidden_bias, visible_bias = parameters
    code = torch.addmm(hidden_bias, watched.sample, weight.mT).sigmoid_()
    reconstruction = torch.addmm(visible_bias, code, weight).sigmoid_()
    return EpochStatistics(
        epoch=epoch,
        epochs=epochs,
        reconstruction_error=squared_error(reconstruction, watched.sample),
        free_energy=None,
        pseudo_log_likelihood=None,
        seconds=time.perf_counter() - started,
    )


class DenoisingDescent:
    """Moves `parameters`, in place, down the gradient of the loss: written out by hand, no autograd, no allocation.

    With δ = z - x, the loss's gradient by the decoder's input, and ε = (W δ) ∘ y ∘ (1 - y), that by the encoder's,

        ∂/∂W = ⟨y δᵀ + ε x̃ᵀ⟩,    ∂/∂c = ⟨ε⟩,    ∂/∂b = ⟨δ⟩
    """

    def __init__(self, parameters: Parameters, lr: float, corruption: float, batch_size: int) -> None:
        self.parameters = parameters
        self.lr = lr
        self.corruption = corruption
        hidden, visible = parameters.weight.shape
        self._weight_t = parameters.weight.mT  # [V,H]
        self._hidden = parameters.weight.new_empty(2 * batch_size, hidden)
        self._visible = parameters.weight.new_empty(4 * batch_size, visible)
        self._rows: dict[int, _Rows] = {}  # by the size of the batch: the full one, and the last one of an epoch

    def step(self, inputs: Tensor, index: Tensor, generator: Generator) -> None:
        """Take one step on the rows `index` [B] of `inputs` [N, V]; B is `batch_size` or less."""
        batch = len(index)
        if batch not in self._rows:
            self._rows[batch] = _Rows(self._hidden, self._visible, batch)
        rows = self._rows[batch]
        torch.index_select(inputs, 0, index, out=rows.clean)
        kept = rows.noise.uniform_(generator=generator).ge_(self.corruption)
        torch.mul(rows.clean, kept, out=rows.corrupted)
        self._descend(rows)

    def _descend(self, rows: _Rows) -> None:
        weight, hidden_bias, visible_bias = self.parameters
        torch.addmm(hidden_bias, rows.corrupted, self._weight_t, out=rows.code).sigmoid_()
        torch.addmm(visible_bias, rows.code, weight, out=rows.delta).sigmoid_().sub_(rows.clean)
        torch.mm(rows.delta, self._weight_t, out=rows.epsilon)
        rows.epsilon.mul_(rows.code).addcmul_(rows.epsilon, rows.code, value=-1)  # · y, then · (1 - y)
        rate = -self.lr / len(rows.code)
        weight.addmm_(rows.hidden.mT, rows.visible, alpha=rate)  # [H,2B] x [2B,V] -> [H,V]
        hidden_bias.addmv_(rows.epsilon.mT, rows.ones, alpha=rate)
        visible_bias.addmv_(rows.delta.mT, rows.ones, alpha=rate)


class _Rows:
    """The views of B rows that a step works in, laid out so that both terms of W's gradient are one product."""

    def __init__(self, hidden: Tensor, visible: Tensor, batch: int) -> None:
        self.hidden, self.visible = hidden[: 2 * batch], visible[: 2 * batch]  # [2B,H], [2B,V]
        self.code, self.epsilon = torch.split(self.hidden, batch)  # [B,H] each
        self.delta, self.corrupted, self.clean, self.noise = torch.split(visible[: 4 * batch], batch)
        self.ones = hidden.new_ones(batch)
