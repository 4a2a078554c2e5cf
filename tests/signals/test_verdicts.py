"""The words: each kind of failure is called by its name on a network that has it, a healthy one is called healthy."""

from __future__ import annotations

import re
from collections import OrderedDict
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import initbench
from initbench.activations import activation_module
from initbench.layers import Residual
from initbench.results import SignalReport
from initbench.signals.gains import Change


def inspected(activation: Any, scheme: str, *, depth: int = 5, width: int = 100, bias: Any = "zeros") -> SignalReport:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation_module(activation)]
    batch = torch.randn(200, width, generator=torch.Generator().manual_seed(3))
    return initbench.inspect(nn.Sequential(*layers, nn.Linear(width, 10)), scheme, batch, bias=bias)


CASES = [
    # what the sources say of a deep sigmoid network
    ("sigmoid", "normal:std=1", {}, ["saturates", "loss"]),
    ("sigmoid", "normal:std=0.01", {}, ["collapses", "gradient vanishes"]),
    ("sigmoid", "xavier_normal", {}, ["keeps a spread", "vanishes", "gradient vanishes"]),
    ("tanh", "normal:std=1", {"depth": 9}, ["saturates", "gradient explodes", "loss"]),
    ("tanh", "normal:std=0.01", {}, ["vanishes", "gradient vanishes"]),
    ("tanh", "xavier_normal", {}, ["healthy", "keeps a spread"]),
    ("tanh", "default", {}, ["shrinks", "gradient shrinks"]),
    ("relu", "normal:std=0.01", {}, ["vanishes", "gradient vanishes"]),
    ("relu", "normal:std=1", {}, ["explodes", "gradient explodes", "loss"]),
    ("relu", "normal:std=1", {"depth": 2}, ["grows", "gradient grows", "loss"]),
    ("relu", "he_normal", {}, ["healthy"]),
    ("relu", "he_normal", {"depth": 1}, ["healthy"]),
    ("relu", "zeros", {}, ["symmetric", "no signal", "gradient vanishes"]),
    ("sigmoid", "zeros", {}, ["symmetric", "collapses"]),
    ("relu", "zeros", {"bias": "default"}, ["gradient vanishes"]),
    ("tanh", "constant:val=0.001", {}, ["symmetric"]),
    ("relu", "constant:val=-0.1", {"bias": -1.0}, ["symmetric", "dies", "no signal"]),
    ("relu", "he_normal", {"bias": -3.0}, ["dies"]),
    ("relu", "normal:std=1e30", {}, ["not finite"]),
    ("linear", "orthogonal", {}, ["healthy"]),
]


@pytest.mark.parametrize(
    ("activation", "scheme", "options", "kinds"), CASES, ids=[f"{one[0]}-{one[1]}-{one[2]}" for one in CASES]
)
def test_every_failure_is_called_by_its_name(
    activation: str, scheme: str, options: dict[str, Any], kinds: list[str]
) -> None:
    found = inspected(activation, scheme, **options).verdicts
    assert set(kinds) <= {verdict.kind for verdict in found}, found
    assert ("healthy" in kinds) == any(verdict.kind == "healthy" for verdict in found)


def test_the_numbers_in_the_words_are_those_of_the_report() -> None:
    report = inspected("sigmoid", "normal:std=1")
    worst = max(report.layers[:-1], key=lambda layer: layer.saturated or 0)
    assert worst.saturated is not None
    assert (
        report.verdicts[0].text
        == f"saturates: {100 * worst.saturated:.0f} % of layer {worst.name} is within 0.01 of 0 or 1"
    )


def test_n_0_001_collapses_to_a_half_with_a_std_that_shrinks() -> None:
    report = inspected("sigmoid", "normal:std=0.01")
    assert report.layers[4].mean == pytest.approx(0.5, abs=0.005)
    assert "whatever the input" in report.verdict
    stds = [layer.sample_std or 0 for layer in report.layers[:-1]]
    assert all(after < 0.05 * before for before, after in pairwise(stds[:4]))
    assert report.layers[4].std is not None
    assert report.layers[4].std < (report.layers[0].std or 0)


def test_units_that_differ_by_their_biases_are_nearly_symmetric() -> None:
    report = inspected("tanh", "constant:val=0.1", bias="default")
    assert "nearly symmetric: the 100 units of 0.weight" in report.verdict


def test_what_overflows_says_where() -> None:
    verdict = inspected("relu", "normal:std=1e30").verdict
    assert re.fullmatch(r"not finite: \d+ % of layer 2 is NaN or infinite", verdict)


def test_weights_that_are_not_finite_are_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    report = initbench.inspect(model, None, torch.ones(5, 4))
    assert report.verdict == "not finite: 6 % of 0.weight is NaN or infinite"


@pytest.mark.parametrize(
    ("first", "last", "steps", "gain"),
    [(1.0, 0.25, 2, 0.5), (2.0, 0.0, 3, 0.0), (0.0, 1.0, 1, None), (1.0, 1.0, 0, None)],
)
def test_a_gain_is_a_geometric_mean(first: float, last: float, steps: int, gain: float | None) -> None:
    found = Change(first, last, steps).gain
    assert found == (gain if gain is None else pytest.approx(gain))


def relu_network(*, zero_last: bool) -> nn.Sequential:
    """Residual blocks, the last weight of each 0, as Fixup starts them."""
    blocks = [Residual(OrderedDict(first=nn.Linear(32, 32), act=nn.ReLU(), last=nn.Linear(32, 32))) for _ in range(3)]
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), *blocks, nn.Linear(32, 10))
    initbench.initialize(model, "he_normal", generator=torch.Generator().manual_seed(0), bias="zeros")
    for block in blocks if zero_last else ():
        nn.init.zeros_(block.last.weight)  # type: ignore[arg-type, union-attr]
    return model


def test_branches_that_start_at_zero_are_no_end_of_the_signal_and_not_symmetric() -> None:
    report = initbench.inspect(relu_network(zero_last=True), None, torch.randn(64, 32))
    kinds = {verdict.kind for verdict in report.verdicts}
    assert not kinds & {"symmetric", "no signal"}


def test_fixup_whose_last_weight_is_zero_too_is_not_called_symmetric() -> None:
    model = nn.Sequential(nn.Flatten(), relu_network(zero_last=False))
    report = initbench.inspect(model, "fixup", torch.randn(64, 32))
    assert "symmetric" not in report.verdict
    assert "in the first step" in report.verdict


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_or_gradient_that_is_not_finite_is_not_healthy(bad: float) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    def loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(output, labels) * bad

    report = initbench.inspect(model, "xavier", (torch.randn(20, 4), torch.arange(20) % 3), loss=loss)
    assert report.verdict == "not finite: the loss is NaN or infinite"


def test_where_no_gradient_comes_back_nothing_is_said_of_it() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                logits: torch.Tensor = self.last(torch.tanh(self.first(x)))
            return logits

    report = initbench.inspect(Frozen(), "xavier", torch.randn(20, 4))
    assert "no gradient came back" in report.verdict
    assert "does not depend on first.weight, last.weight" in report.notes[0]


@pytest.mark.parametrize("depth", [1, 2, 10])
def test_gradients_that_cancel_are_not_taken_for_gradients(depth: int) -> None:
    """The columns of a constant last weight are alike, and the gradients of the classes sum to 0."""
    report = inspected("relu", "constant:val=0.1", depth=depth, bias="default")
    assert "healthy" not in report.verdict
    assert "gradient explodes" not in report.verdict
    assert f"no gradient reaches layer {2 * depth - 2} in the first step: only rounding is left there" in report.verdict


def test_recurrent_layers_that_are_not_seen_are_noted() -> None:
    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.r, self.out = nn.GRU(8, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.out(self.r(x)[0])
            return logits

    report = initbench.inspect(Alone(), "xavier", torch.randn(20, 8))
    assert [layer.name for layer in report.layers] == ["out"]
    assert "not seen: the states of r" in report.notes[0]


def test_one_unit_is_not_symmetric() -> None:
    report = inspected("tanh", "xavier_normal", width=1)
    assert "symmetric" not in report.verdict


def test_one_sample_and_equal_samples_say_nothing_of_differences() -> None:
    model = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 3))
    for batch in (torch.randn(1, 30), torch.randn(1, 30).expand(40, 30)):
        report = initbench.inspect(model, "he_normal", batch.contiguous(), bias="zeros")
        assert [verdict.kind for verdict in report.verdicts] == ["healthy"], report.verdict
        assert report.notes


class Recurrent(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.rnn, self.out = nn.RNN(8, 32, batch_first=True, **options), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(self.rnn(x)[0][:, -1])
        return logits


@pytest.mark.parametrize(("scale", "kinds"), [(0.05, {"gradient vanishes"}), (3.0, {"explodes", "gradient explodes"})])
def test_gradients_through_time(scale: float, kinds: set[str]) -> None:
    model = Recurrent(nonlinearity="relu")
    initbench.initialize(
        model, "orthogonal_recurrent", generator=torch.Generator().manual_seed(0), activation="relu", bias="zeros"
    )
    with torch.no_grad():
        model.rnn.weight_hh_l0 *= scale
    batch = torch.randn(40, 20, 8)
    batch[:, 0] = 0  # as the first row of an image is
    found = {verdict.kind for verdict in initbench.inspect(model, None, batch).verdicts}
    assert kinds <= found
    assert not found & {"dies", "no signal", "healthy"}
