"""The step against a reference of plain loops, and against the exact gradient that long chains come to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny_rbm import log_probability, random_rbm, states
from torch import Generator, Tensor

from initbench.pretraining.contrastive_divergence import ContrastiveDivergence, Rates
from initbench.pretraining.epochs import Parameters

HIDDEN, VISIBLE, SIZE = 3, 5, 4
Matrix = list[list[float]]


def parameters_of(seed: int = 0) -> Parameters:
    rbm = random_rbm(HIDDEN, VISIBLE, seed)
    return Parameters(rbm.weight, rbm.hidden_bias, rbm.visible_bias)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def uniform(rows: int, columns: int, generator: Generator) -> Matrix:
    return torch.empty(rows, columns, dtype=torch.float64).uniform_(generator=generator).tolist()


class Reference:
    """Contrastive divergence as the papers write it, one number at a time."""

    def __init__(self, parameters: Parameters, rates: Rates, k: int, persistent: bool) -> None:
        self.weight, self.hidden_bias, self.visible_bias = (tensor.tolist() for tensor in parameters)
        self.velocity: list[Any] = [torch.zeros_like(tensor).tolist() for tensor in parameters]
        self.rates, self.k, self.persistent = rates, k, persistent
        self.chain: Matrix = [[0.0] * HIDDEN for _ in range(SIZE)]

    def infer(self, v: list[float]) -> list[float]:
        inputs = [self.hidden_bias[j] + sum(self.weight[j][i] * v[i] for i in range(VISIBLE)) for j in range(HIDDEN)]
        return [sigmoid(x) for x in inputs]

    def generate(self, h: list[float]) -> list[float]:
        inputs = [self.visible_bias[i] + sum(self.weight[j][i] * h[j] for j in range(HIDDEN)) for i in range(VISIBLE)]
        return [sigmoid(x) for x in inputs]

    def step(self, data: Matrix, generator: Generator) -> None:
        hidden = [self.infer(v) for v in data]
        chain = self.chain if self.persistent else hidden
        for _ in range(self.k):
            visible = []
            noise = uniform(len(chain), HIDDEN, generator), uniform(len(chain), VISIBLE, generator)
            for p, u_hidden, u_visible in zip(chain, *noise, strict=True):
                h = [float(a > b) for a, b in zip(p, u_hidden, strict=True)]
                visible.append([float(a > b) for a, b in zip(self.generate(h), u_visible, strict=True)])
            chain = [self.infer(v) for v in visible]
        self.chain = chain
        self.move(data, hidden, visible, chain)

    def move(self, data: Matrix, hidden: Matrix, visible: Matrix, chain: Matrix) -> None:
        lr, momentum, decay = self.rates.lr, self.rates.momentum, self.rates.weight_decay

        def difference(j: int | None, i: int | None) -> float:
            def mean(hs: Matrix, vs: Matrix) -> float:
                one = [(1 if j is None else h[j]) * (1 if i is None else v[i]) for h, v in zip(hs, vs, strict=True)]
                return sum(one) / len(one)

            return mean(hidden, data) - mean(chain, visible)

        for j in range(HIDDEN):
            for i in range(VISIBLE):
                gradient = difference(j, i) - decay * self.weight[j][i]
                self.velocity[0][j][i] = momentum * self.velocity[0][j][i] + lr * gradient
                self.weight[j][i] += self.velocity[0][j][i]
            self.velocity[1][j] = momentum * self.velocity[1][j] + lr * difference(j, None)
            self.hidden_bias[j] += self.velocity[1][j]
        for i in range(VISIBLE):
            self.velocity[2][i] = momentum * self.velocity[2][i] + lr * difference(None, i)
            self.visible_bias[i] += self.velocity[2][i]


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("rates", [Rates(0.1, 0, 0), Rates(0.1, 0, 0.01), Rates(0.2, 0.9, 0), Rates(0.2, 0.5, 0.02)])
def test_steps_are_those_of_plain_loops_with_a_smaller_last_batch(rates: Rates, k: int, persistent: bool) -> None:
    parameters = parameters_of()
    reference = Reference(parameters, rates, k, persistent)
    learner = ContrastiveDivergence(parameters, rates, SIZE, k, persistent)
    inputs = torch.rand(10, VISIBLE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    for index in torch.split(torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7] * 2), SIZE):  # 4 4 4 4 4
        reference.step(inputs[index].tolist(), generators[0])
        learner.step(inputs, index, generators[1])
    for index in (torch.tensor([7, 2]), torch.tensor([1, 2, 3, 4])):  # a smaller one, and a full one after it
        reference.step(inputs[index].tolist(), generators[0])
        learner.step(inputs, index, generators[1])
    for got, expected in zip(
        parameters, (reference.weight, reference.hidden_bias, reference.visible_bias), strict=True
    ):
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("persistent", [False, True])
def test_long_chains_give_the_gradient_of_the_exact_log_likelihood(persistent: bool) -> None:
    rows, parameters = 20_000, parameters_of()
    rbm = random_rbm(HIDDEN, VISIBLE)
    data = states(VISIBLE)[[1, 6, 24, 31]].repeat(rows // 4, 1)
    probability, hidden = log_probability(rbm).exp(), rbm.hidden_probability(states(VISIBLE))
    model = Parameters(  # E[ĥ vᵀ], E[ĥ], E[v] under p(v)
        hidden.T @ (probability[:, None] * states(VISIBLE)), probability @ hidden, probability @ states(VISIBLE)
    )
    hidden = rbm.hidden_probability(data)
    of_data = Parameters(hidden.T @ data / rows, hidden.mean(0), data.mean(0))
    learner = ContrastiveDivergence(parameters, Rates(1.0, 0, 0), rows, 40, persistent)
    learner.step(data, torch.arange(rows), torch.Generator().manual_seed(3))
    for moved, started, one, other in zip(parameters, parameters_of(), of_data, model, strict=True):
        error = moved - started - (one - other)
        assert error.abs().max() < 5 * 0.5 / math.sqrt(rows)  # the standard deviation is .5 at most


@pytest.mark.parametrize(("momentum", "factors"), [(0.0, [0.9, 0.81, 0.729]), (0.5, [0.9, 0.76, 0.614])])
def test_weight_decay_and_momentum_by_hand(momentum: float, factors: list[float]) -> None:
    """Units that are off in data and chain alike leave the decay of lr x weight_decay = .1 alone.

    Without momentum W shrinks to .9, .81, .729 of itself. With .5: steps -.1, then .5 (-.1) - .1 (.9) = -.14, then
    .5 (-.14) - .1 (.76) = -.146.
    """
    rbm = random_rbm(HIDDEN, VISIBLE)
    parameters = Parameters(rbm.weight, rbm.hidden_bias, torch.full_like(rbm.visible_bias, -100.0))
    started: list[Tensor] = [tensor.clone() for tensor in parameters]
    learner = ContrastiveDivergence(parameters, Rates(0.5, momentum, 0.2), 2, 1, False)
    for factor in factors:
        learner.step(torch.zeros(2, VISIBLE, dtype=torch.float64), torch.arange(2), torch.Generator().manual_seed(0))
        torch.testing.assert_close(parameters.weight, factor * started[0])
        torch.testing.assert_close(parameters.hidden_bias, started[1])
        torch.testing.assert_close(parameters.visible_bias, started[2])
