"""The RBM's formulas against sums over all states, and what learning does to the exact likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM
from tiny_rbm import bars_and_stripes, log_likelihood, log_probability, negative_energy, random_rbm, states
from torch import Generator, Tensor

from initbench.pretraining import RBM, EpochStatistics, fit_rbm

ROWS = 20_000  # of a Monte Carlo estimate of a probability: standard error .0035 or less


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def exact_pseudo_log_likelihood(rbm: RBM, visible: Tensor) -> Tensor:
    """Return Σ_i log σ(F(v with v_i flipped) - F(v)) [B]."""
    total = torch.zeros(len(visible), dtype=visible.dtype)
    for unit in range(visible.shape[1]):
        flipped = visible.clone()
        flipped[:, unit] = 1 - flipped[:, unit]
        total += torch.nn.functional.logsigmoid(rbm.free_energy(flipped) - rbm.free_energy(visible))
    return total


@pytest.mark.parametrize("visible", [states(5), torch.rand(7, 5, generator=seeded(), dtype=torch.float64)])
def test_free_energy_is_the_sum_over_all_hidden_states(visible: Tensor) -> None:
    rbm = random_rbm(4, 5, scale=3.0)
    expected = -negative_energy(rbm, visible).logsumexp(1)
    torch.testing.assert_close(rbm.free_energy(visible), expected, rtol=0, atol=1e-7)  # softplus is cut at 20


def test_conditional_probabilities_are_those_of_the_joint_distribution() -> None:
    rbm = random_rbm(4, 5)
    joint = negative_energy(rbm, states(5)).flatten().softmax(0).view(32, 16)  # [2^V,2^H]
    given_visible = joint / joint.sum(1, keepdim=True)
    given_hidden = joint / joint.sum(0, keepdim=True)
    torch.testing.assert_close(rbm.hidden_probability(states(5)), given_visible @ states(4))
    torch.testing.assert_close(rbm.visible_probability(states(4)), given_hidden.T @ states(5))


def test_pseudo_log_likelihood_expects_the_log_conditionals_of_each_unit() -> None:
    rbm = random_rbm(4, 5)
    probability, visible = log_probability(rbm).exp(), states(5)
    expected = torch.zeros(32, dtype=torch.float64)
    for row in range(32):
        for unit in range(5):
            other = row ^ (1 << (4 - unit))
            expected[row] += math.log(probability[row] / (probability[row] + probability[other]))
    torch.testing.assert_close(exact_pseudo_log_likelihood(rbm, visible), expected)
    estimate = rbm.pseudo_log_likelihood(visible.repeat(ROWS, 1), seeded()).view(ROWS, 32)
    error = estimate.std(0) / math.sqrt(ROWS)
    assert ((estimate.mean(0) - expected).abs() < 5 * error + 1e-9).all()


def test_pseudo_log_likelihood_depends_on_the_generator_alone() -> None:
    rbm, visible = random_rbm(4, 9), bars_and_stripes().double()
    estimates = [rbm.pseudo_log_likelihood(visible, seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(estimates[0], estimates[1])
    assert not torch.equal(estimates[0], estimates[2])


def test_gibbs_sampling_a_learned_rbm_visits_each_state_as_often_as_its_probability_says() -> None:
    rbm, generator = fit_rbm(states(4)[[0, 3, 12, 15]].repeat(20, 1), 3, generator=seeded(), epochs=20), seeded(1)
    visible = torch.zeros(ROWS, 4, dtype=torch.float64)
    for _ in range(60):
        hidden = torch.bernoulli(rbm.hidden_probability(visible), generator=generator)
        visible = torch.bernoulli(rbm.visible_probability(hidden), generator=generator)
    place = (visible @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)).long()
    frequency = torch.bincount(place, minlength=16) / ROWS
    assert (frequency - log_probability(rbm).exp()).abs().max() < 0.02


@pytest.mark.parametrize("options", [{}, {"k": 5}, {"persistent": True}, {"momentum": 0.5}], ids=str)
def test_exact_likelihood_rises_with_training(options: dict[str, Any]) -> None:
    inputs = bars_and_stripes(copies=20)

    def after(epochs: int, lr: float) -> float:
        return log_likelihood(fit_rbm(inputs, 8, generator=seeded(), epochs=epochs, lr=lr, std=0.1, **options), inputs)

    start, early, late = after(1, 1e-30), after(15, 0.1), after(50, 0.1)
    assert start == pytest.approx(-9 * math.log(2), abs=0.1)  # small weights: no better than fair coins
    assert start + 0.1 < early < late - 1
    assert late < -math.log(14)  # the distribution of the data


def test_weights_start_normal_and_biases_at_zero() -> None:
    inputs = torch.full((2, 300), 0.5, dtype=torch.float64)
    rbm = fit_rbm(inputs, 100, generator=seeded(), epochs=1, lr=1e-300, std=0.2)
    assert abs(float(rbm.weight.mean())) < 5 * 0.2 / math.sqrt(30_000)
    assert float(rbm.weight.std()) == pytest.approx(0.2, rel=5 / math.sqrt(2 * 30_000))
    assert rbm.hidden_bias.abs().max() < 1e-290
    assert rbm.visible_bias.abs().max() < 1e-290


def test_each_epoch_is_told_with_the_statistics_of_the_model_at_its_end() -> None:
    inputs, told = bars_and_stripes(copies=3), list[EpochStatistics]()
    rbm = fit_rbm(inputs, 6, generator=seeded(), epochs=3, persistent=True, on_epoch=told.append)
    assert [(row.epoch, row.epochs) for row in told] == [(1, 3), (2, 3), (3, 3)]
    last, again = told[-1], rbm.visible_probability(rbm.hidden_probability(inputs))
    assert last.reconstruction_error == pytest.approx(float((again - inputs).square().mean()), rel=1e-5)
    assert last.free_energy == pytest.approx(float(rbm.free_energy(inputs).mean()), rel=1e-5)
    estimates = rbm.pseudo_log_likelihood(inputs, seeded())
    assert last.pseudo_log_likelihood == pytest.approx(
        float(estimates.mean()), abs=7 * float(estimates.std()) / 42**0.5
    )
    assert 0 < last.seconds < 60


def test_pseudo_likelihood_is_scikit_learns_at_the_same_budget() -> None:
    inputs = load_digits().data.astype(np.float32) / 16
    budget = {"batch_size": 10, "epochs": 5}

    def theirs(seed: int) -> RBM:
        model = BernoulliRBM(32, learning_rate=0.1, batch_size=10, n_iter=5, random_state=seed).fit(inputs)
        learned = (model.components_, model.intercept_hidden_, model.intercept_visible_)
        return RBM(*(torch.from_numpy(np.ascontiguousarray(array)) for array in learned))

    def ours(seed: int) -> RBM:
        return fit_rbm(torch.from_numpy(inputs), 32, generator=seeded(seed), lr=0.1, persistent=True, **budget)

    scores = [
        [float(exact_pseudo_log_likelihood(fit(seed), torch.from_numpy(inputs)).mean()) for seed in range(4)]
        for fit in (ours, theirs)
    ]
    margin = 3 * math.sqrt(sum(np.var(of_one, ddof=1) / 4 for of_one in scores))  # 3 standard errors
    assert margin < 1  # of about -21 nats; -64 log 2 = -44 is a coin for each pixel
    assert np.mean(scores[0]) >= np.mean(scores[1]) - margin
