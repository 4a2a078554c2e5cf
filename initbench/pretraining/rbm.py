"""Restricted Boltzmann machines, learned by contrastive divergence (CD-k) or with persistent chains (PCD-k)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid, softplus

from initbench.pretraining.contrastive_divergence import ContrastiveDivergence, Rates
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
class RBM:
    """V visible and H hidden binary units, p(v, h) ∝ exp(h·W v + c·h + b·v); a visible value in [0, 1] is its mean.

    Source: Smolensky 1986; Hinton 2002, section 3. `weight` has the layout of torch.nn.Linear.
    """

    weight: Tensor  # W [H,V]
    hidden_bias: Tensor  # c [H]
    visible_bias: Tensor  # b [V]

    def hidden_probability(self, visible: Tensor) -> Tensor:
        """Return p(h = 1 | v) = σ(W v + c) [B, H] for visible [B, V]."""
        return torch.addmm(self.hidden_bias, visible, self.weight.mT).sigmoid_()

    def visible_probability(self, hidden: Tensor) -> Tensor:
        """Return p(v = 1 | h) = σ(Wᵀh + b) [B, V] for hidden [B, H]."""
        return torch.addmm(self.visible_bias, hidden, self.weight).sigmoid_()

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return F(v) = -log Σ_h exp(h·W v + c·h + b·v) = -b·v - Σ_j softplus((W v + c)_j) [B] for visible [B, V]."""
        hidden_input = torch.addmm(self.hidden_bias, visible, self.weight.mT)
        return -(visible @ self.visible_bias) - softplus(hidden_input).sum(1)

    def pseudo_log_likelihood(self, visible: Tensor, generator: Generator) -> Tensor:
        """Return V log σ(F(ṽ) - F(v)) [B] for visible [B, V]: ṽ is v with one random unit flipped, v_i to 1 - v_i.

        For binary v its expectation is Σ_i log p(v_i | the other units) (Besag 1975), as scikit-learn estimates it.
        """
        rows, units = visible.shape
        unit = torch.randint(units, (rows, 1), generator=generator, device=visible.device)
        flipped = visible.scatter(1, unit, 1 - visible.gather(1, unit))
        return units * logsigmoid(self.free_energy(flipped) - self.free_energy(visible))


def fit_rbm(
    inputs: Tensor,
    hidden: int,
    *,
    generator: Generator,
    epochs: int = 10,
    batch_size: int = 10,
    lr: float = 0.1,
    k: int = 1,
    persistent: bool = False,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    std: float = 0.01,
    on_epoch: OnEpoch | None = None,
) -> RBM:
    """Return an RBM of `hidden` units learned from `inputs` [N, V], float32 or float64 in [0, 1].

    Each step moves the parameters by lr times the difference of two means: over the batch and over a Markov chain,

        ΔW = lr (⟨ĥ vᵀ⟩_data - ⟨ĥ vᵀ⟩_chain - weight_decay W),    ĥ = p(h = 1 | v),    likewise Δc of ĥ and Δb of v

    with `momentum` ΔW = momentum · (the step before) + that. The chain takes k Gibbs steps, in which both layers are
    sampled, from the batch (CD-k) or, `persistent`, from where it was at the last step (PCD-k; from h = 0 at the
    start). A batch has `batch_size` inputs, but for the last of an epoch; there are as many persistent chains, or N.
    W starts from N(0, std²), b and c from 0; the inputs are shuffled each epoch. Every draw is from `generator`, which
    is on the device of `inputs`. `on_epoch` hears how each epoch went; it does not change the result.

    Raises SchemeError where an argument is out of its range or a weight stops being finite.
    Source: Hinton 2002 (CD); Tieleman 2008 (PCD); Hinton 2010, "A practical guide to training RBMs", sections 3-10.
    """
    require_inputs(inputs, generator)
    require_counts(hidden=hidden, epochs=epochs, batch_size=batch_size, k=k)
    require_number("lr", lr, lr > 0, "above 0")
    require_number("momentum", momentum, 0 <= momentum < 1, "in [0, 1)")
    require_number("weight_decay", weight_decay, weight_decay >= 0, "0 or more")
    require_number("std", std, std >= 0, "0 or more")
    with torch.no_grad():
        rbm = _start(inputs, hidden, std, generator)
        watched = watch(inputs, generator)
        parameters = Parameters(rbm.weight, rbm.hidden_bias, rbm.visible_bias)
        rates = Rates(lr, momentum, weight_decay)
        learner = ContrastiveDivergence(parameters, rates, min(batch_size, len(inputs)), k, persistent)
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            for index in shuffled(len(inputs), batch_size, generator):
                learner.step(inputs, index, generator)
            require_finite(parameters, "the RBM", epoch, epochs, lr)
            if on_epoch is not None:
                on_epoch(_statistics(rbm, watched, epoch, epochs, started))
    return rbm


def _start(inputs: Tensor, hidden: int, std: float, generator: Generator) -> RBM:
    units = inputs.shape[1]
    weight = inputs.new_empty(hidden, units).normal_(0, std, generator=generator)
    return RBM(weight, inputs.new_zeros(hidden), inputs.new_zeros(units))


def _statistics(rbm: RBM, watched: Watch, epoch: int, epochs: int, started: float) -> EpochStatistics:
    reconstruction = rbm.visible_probability(rbm.hidden_probability(watched.sample))
    return EpochStatistics(
        epoch=epoch,
        epochs=epochs,
        reconstruction_error=squared_error(reconstruction, watched.sample),
        free_energy=float(rbm.free_energy(watched.sample).mean()),
        pseudo_log_likelihood=float(rbm.pseudo_log_likelihood(watched.sample, watched.generator()).mean()),
        seconds=time.perf_counter() - started,
    )
