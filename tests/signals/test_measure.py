"""A measurement: every number against its definition by plain autograd, the model left alone, odd models handled."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from initbench.errors import UsageError
from initbench.signals.measure import Measurement, measure


def batch(samples: int = 40, inputs: int = 12, classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(samples, inputs, generator=generator),
        torch.randint(classes, (samples,), generator=generator),
    )


def network(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(12, 8), *(middle or [nn.Tanh()]), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5))


def test_the_rows_of_a_network_are_what_autograd_says() -> None:
    model, (x, y) = network(), batch()
    found = measure(model, x, y)
    h1 = model[0](x)
    h2 = model[2](model[1](h1))
    logits = model[4](model[3](h2))
    for h in (h1, h2, logits):
        h.retain_grad()
    loss = cross_entropy(logits, y)
    loss.backward()
    assert found.loss == pytest.approx(loss.item())
    for layer, pre, z in zip(found.layers, (h1, h2, logits), (h1.tanh(), h2.relu(), logits), strict=True):
        assert pre.grad is not None
        assert layer.pre_mean == pytest.approx(pre.mean().item(), abs=1e-6)
        assert layer.pre_std == pytest.approx(pre.std().item(), rel=1e-5)
        assert layer.pre_rms == pytest.approx(pre.square().mean().sqrt().item(), rel=1e-5)
        assert layer.mean == pytest.approx(z.mean().item(), abs=1e-6)
        assert layer.std == pytest.approx(z.std().item(), rel=1e-5)
        assert layer.sample_std == pytest.approx(z.var(0).mean().sqrt().item(), rel=1e-5)
        assert layer.delta_rms == pytest.approx(pre.grad.square().mean().sqrt().item(), rel=1e-5)
        assert layer.histogram is not None
        assert sum(layer.histogram.counts) == z.numel()
    assert [layer.units for layer in found.layers] == [8, 6, 5]
    assert [layer.activation for layer in found.layers] == ["tanh", "relu", None]
    for weight, module in zip(found.weights, (model[0], model[2], model[4]), strict=True):
        gradient = module.weight.grad
        assert weight.grad_norm == pytest.approx(gradient.norm().item(), rel=1e-5)
        assert weight.grad_std == pytest.approx(gradient.std().item(), rel=1e-5)
        assert weight.std == pytest.approx(module.weight.std().item(), rel=1e-5)
        assert weight.used
        assert weight.target_std is None


def test_the_gradient_is_that_of_the_first_samples_only() -> None:
    model, (x, y) = network(), batch()
    few = measure(model, x, y, gradient_samples=10)
    alone = measure(model, x[:10], y[:10])
    assert [layer.delta_rms for layer in few.layers] == [layer.delta_rms for layer in alone.layers]
    assert few.loss == alone.loss
    assert few.layers[0].std == measure(model, x, y).layers[0].std


def test_the_update_is_what_the_step_says() -> None:
    model, (x, y) = network(), batch()
    found = measure(model, x, y, step=lambda parameter, gradient: -0.5 * gradient)
    for weight in found.weights:
        module = model.get_submodule(weight.name.rpartition(".")[0])
        assert weight.grad_norm is not None
        assert weight.update_ratio == pytest.approx(0.5 * weight.grad_norm / module.weight.norm().item(), rel=1e-5)


class Shared(nn.Module):
    """Ties its last weight to the first layer's, and has a layer that it never uses."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.unused = nn.Linear(5, 8), nn.Linear(3, 3)
        self.last = nn.Linear(8, 5)
        self.last.weight = nn.Parameter(self.first.weight.detach().T.clone())
        self.again = self.first

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.again(self.last(torch.tanh(self.first(x))))))


MODELS: dict[str, tuple[Any, Any]] = {
    "tanh": (network, batch),
    "dropout and batch norm": (lambda: network(nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(inplace=True)), batch),
    "shared and unused": (Shared, lambda: batch(inputs=5)),
    "one sample": (lambda: network(nn.BatchNorm1d(8), nn.ReLU()), lambda: batch(samples=1)),
    "float64": (lambda: network().double(), lambda: (batch()[0].double(), batch()[1])),
    "width 1": (
        lambda: nn.Sequential(nn.Linear(12, 1), nn.Sigmoid(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 5)),
        batch,
    ),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)),
        lambda: (torch.randn(6, 1, 8, 8), torch.arange(6) % 5),
    ),
    "not finite": (lambda: nn.Sequential(nn.Linear(12, 8), nn.ReLU(), _nan(nn.Linear(8, 5))), batch),
    "zeros": (lambda: nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5)).requires_grad_(False), batch),
}


def _nan(layer: nn.Linear) -> nn.Linear:
    with torch.no_grad():
        layer.weight[0, 0] = math.nan
    return layer


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_left_as_it_was_found(name: str) -> None:
    build, inputs = MODELS[name]
    model, (x, y) = build(), inputs()
    model.train()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    required = [parameter.requires_grad for parameter in model.parameters()]
    state = torch.get_rng_state()
    measure(model, x, y, jacobians=3, step=lambda parameter, gradient: -gradient)
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0, equal_nan=True)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == required
    gradients = [parameter.grad for parameter in model.parameters()]
    assert gradients[0] is not None
    assert bool((gradients[0] == 1).all())
    assert gradients[1:] == [None] * (len(gradients) - 1)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())


class Remembers(nn.Module):
    """Keeps a state between its calls, in a buffer that `remember` changes."""

    def __init__(self, remember: Callable[[Any, Tensor], None], *, inference: bool) -> None:
        super().__init__()
        self.body = network()
        with torch.inference_mode(inference):
            self.register_buffer("h", torch.full((5,), 2.0))
            self.register_buffer("scratch", torch.zeros(3), persistent=False)
            self.register_buffer("absent", None)
        self.remember = remember

    def forward(self, x: Tensor) -> Any:
        logits = self.body(x)
        self.remember(self, logits)
        return logits + self.h


def _rebind(module: Any, logits: Tensor) -> None:
    module.h = 0.9 * module.h + logits.detach().mean()


def _rebind_with_gradient(module: Any, logits: Tensor) -> None:
    module.h = 0.9 * module.h + logits.mean(0)


def _in_place(module: Any, logits: Tensor) -> None:
    module.h.mul_(0.9).add_(logits.detach().mean())
    module.scratch += 1


def _fill_the_absent(module: Any, logits: Tensor) -> None:
    module.absent = logits.detach().mean()


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("remember", [_rebind, _rebind_with_gradient, _in_place, _fill_the_absent])
def test_buffers_are_left_as_they_were_found(remember: Callable[[Any, Tensor], None], inference: bool) -> None:
    model, (x, y) = Remembers(remember, inference=inference), batch()
    before = {name: (value, None if value is None else value.tolist()) for name, value in model._buffers.items()}
    # two backward passes cannot go through one state: of a user's module that is for the user to see to
    found = measure(model, x, y, jacobians=0 if remember is _rebind_with_gradient else 3)
    assert found.loss is not None
    assert [*model._buffers] == [*before]
    for name, (value, values) in before.items():
        assert model._buffers[name] is value
        assert (None if value is None else value.tolist()) == values


@pytest.mark.parametrize("name", MODELS)
def test_a_measurement_is_strict_json_and_the_same_each_time(name: str) -> None:
    build, inputs = MODELS[name]
    model, (x, y) = build(), inputs()
    first, second = (measure(model, x, y, jacobians=3) for _ in range(2))
    assert first == second
    for record in (*first.layers, *first.weights):
        assert type(record).model_validate_json(record.model_dump_json()) == record


def measured(name: str) -> Measurement:
    build, inputs = MODELS[name]
    return measure(build(), *inputs(), jacobians=3)


def test_batch_normalization_uses_the_batch_and_dropout_is_off() -> None:
    row = measured("dropout and batch norm").layers[0]
    assert row.pre_mean == pytest.approx(0, abs=1e-6)
    assert row.pre_rms == pytest.approx(1, rel=1e-3)


def test_shared_and_unused_parameters() -> None:
    found = measured("shared and unused")
    assert [layer.name for layer in found.layers] == ["first", "last", "first, use 2", "last, use 2"]
    assert {weight.name: weight.used for weight in found.weights} == {
        "first.weight": True,
        "unused.weight": False,
        "last.weight": True,
    }
    assert all(layer.delta_rms for layer in found.layers)


def test_a_shared_weights_gradient_is_the_sum_over_its_uses() -> None:
    model, (x, y) = Shared(), batch(inputs=5)
    found = measure(model, x, y)
    cross_entropy(model(x), y).backward()
    assert model.first.weight.grad is not None
    assert found.weights[0].grad_norm == pytest.approx(model.first.weight.grad.norm().item(), rel=1e-5)


def test_one_sample_has_no_spread_between_inputs() -> None:
    for layer in measured("one sample").layers:
        assert (layer.sample_std, layer.effective_rank, layer.max_rank) == (None, None, None)
        assert layer.std is not None


def test_one_unit_has_no_symmetry() -> None:
    found = measured("width 1")
    assert [weight.symmetry for weight in found.weights[:2]] == [None, None]
    assert found.layers[1].effective_rank in (0.0, pytest.approx(1.0))


def test_what_is_not_finite_is_none_and_said() -> None:
    found = measured("not finite")
    assert found.loss is None
    assert found.weights[1].finite == pytest.approx(39 / 40)
    assert (found.weights[1].std, found.weights[1].symmetry) == (None, None)
    assert found.layers[1].finite < 1
    assert found.layers[1].std is None
    assert found.layers[0].std is not None


def test_a_frozen_model_is_measured_like_any_other() -> None:
    assert all(weight.used and weight.grad_norm for weight in measured("zeros").weights)


def test_a_thousand_layers_underflow_to_zero_without_nan() -> None:
    layers: list[nn.Module] = []
    for _ in range(1_000):
        halving = nn.Linear(4, 4, bias=False)
        halving.weight.data = torch.eye(4) / 2
        layers += [halving, nn.Tanh()]
    found = measure(nn.Sequential(nn.Linear(12, 4), *layers, nn.Linear(4, 5)), *batch(), jacobians=3)
    assert len(found.layers) == 1_002
    assert found.layers[500].std == 0
    assert found.layers[500].effective_rank == 0
    assert found.layers[0].delta_rms == 0
    first = next(index for index, layer in enumerate(found.layers) if layer.pre_rms == 0)
    assert 140 < first < 160  # 2^-149 is the smallest float32


def test_the_directions_of_the_jacobians_come_from_the_generator() -> None:
    model, (x, y) = network(), batch()

    def spectrum(seed: int) -> Any:
        return measure(model, x, y, jacobians=1, generator=torch.Generator().manual_seed(seed)).layers[1].jacobian

    assert spectrum(0) == spectrum(0)
    assert spectrum(0) != spectrum(1)
    assert measure(model, x, y).layers[1].jacobian is None


@pytest.mark.parametrize(
    ("model", "x", "y", "said"),
    [
        (nn.Linear(3, 5), torch.ones(4, 2), torch.zeros(4).long(), "cannot be sent through"),
        (nn.Linear(3, 5), torch.ones(4, 3), torch.full((4,), 7), "cannot be sent through"),
        (nn.Linear(3, 5), torch.ones(4, 3), torch.zeros(3).long(), "cannot be sent through"),
        (nn.Flatten(), torch.ones(4, 5), torch.zeros(4).long(), "uses no layer with a weight"),
    ],
)
def test_what_does_not_go_together_is_one_line(model: nn.Module, x: Tensor, y: Tensor, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        measure(model, x, y)
    assert "\n" not in str(caught.value)


class Transformer(nn.Module):
    """A classifier of sequences."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed, self.out = nn.Linear(5, 16), nn.Linear(16, 5)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.encoder(self.embed(x)).mean(1))


def sequences(samples: int = 6, steps: int = 10) -> tuple[Tensor, Tensor]:
    return torch.randn(samples, steps, 5, generator=torch.Generator().manual_seed(0)), torch.arange(samples) % 5


def test_a_transformer_is_measured_with_its_jacobians() -> None:
    found = measure(Transformer(), *sequences(), jacobians=3)
    by_name = {layer.name: layer for layer in found.layers}
    assert [*by_name] == ["embed", "encoder.self_attn", "encoder.linear1", "encoder.linear2", "out"]
    for name in ("encoder.self_attn", "encoder.linear1", "encoder.linear2"):
        spectrum = by_name[name].jacobian
        assert spectrum is not None
        assert spectrum.mean > 0
    assert by_name["embed"].jacobian is None
    assert all(weight.used and weight.grad_norm for weight in found.weights)


LOSSES: dict[str, tuple[Any, float | None, float]] = {  # what the loss is in the record, how much of delta is finite
    "NaN": (lambda logits, labels: logits.sum() * math.nan, None, 0),
    "infinite": (lambda logits, labels: logits.sum() * math.inf, None, 0),
    "infinite by a constant": (lambda logits, labels: cross_entropy(logits, labels) + math.inf, None, 1),
    "of shape [1]": (lambda logits, labels: logits.mean().view(1) * 0 + 3, 3.0, 1),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_not_finite_is_none_and_said(name: str) -> None:
    loss, recorded, finite = LOSSES[name]
    found = measure(network(), *batch(), loss=loss)
    assert found.loss == recorded
    last = found.layers[-1]
    assert last.delta_finite == finite
    assert (last.delta_rms is None) == (finite == 0)
    assert all(type(layer).model_validate_json(layer.model_dump_json()) == layer for layer in found.layers)


def test_the_share_of_finite_gradients() -> None:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        weight = torch.ones_like(logits)
        weight[:10, 0] = math.nan  # 10 of 40 x 5 entries
        return (logits * weight).sum()

    tanhs = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5))
    found = measure(tanhs, *batch(), loss=loss)
    assert found.layers[-1].delta_finite == pytest.approx(1 - 10 / 200)
    assert found.layers[0].delta_finite == pytest.approx(1 - 10 / 40)  # all units of 10 of 40 samples
    assert [layer.delta_finite for layer in measure(network(), *batch()).layers] == [1, 1, 1]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda logits, labels: 1.5, "not a float"),
        (lambda logits, labels: None, "not a NoneType"),
        (lambda logits, labels: cross_entropy(logits, labels, reduction="none"), r"not one of shape \(40,\)"),
    ],
)
def test_a_loss_that_is_no_number_is_one_line(loss: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        measure(network(), *batch(), loss=loss)
    assert "\n" not in str(caught.value)


class Recurrent(nn.Module):
    """Classifies by the last state of a recurrent layer."""

    def __init__(self, kind: type[nn.RNNBase], *, batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.rnn, self.out = kind(5, 4, batch_first=batch_first), nn.Linear(4, 5)  # type: ignore[call-arg, arg-type]

    def states(self, x: Tensor) -> Tensor:
        """Return the states [B, T, H] for inputs [B, T, I]."""
        states: Tensor = self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))[0]
        return states if self.rnn.batch_first else states.transpose(0, 1)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.states(x)[:, -1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_rows_of_a_recurrent_layer_are_its_states_and_the_gradients_at_its_inputs(
    kind: type[nn.RNNBase], batch_first: bool
) -> None:
    model, (x, y) = Recurrent(kind, batch_first=batch_first), sequences()
    found = measure(model, x, y, jacobians=3)
    seen = x.clone().requires_grad_()
    states = model.states(seen)
    torch.autograd.backward(cross_entropy(model.out(states[:, -1]), y))
    assert seen.grad is not None
    *rows, last = found.layers
    assert [row.step for row in rows][::7] == [1, 10]
    assert (last.name, last.step, len(rows)) == ("out", None, 8)
    for row in rows:
        assert row.step is not None
        assert row.name == f"rnn, step {row.step}"
        state, gradient = states[:, row.step - 1], seen.grad[:, row.step - 1]
        assert row.mean == pytest.approx(state.mean().item(), abs=1e-6)
        assert row.std == pytest.approx(state.std().item(), rel=1e-5)
        assert row.sample_std == pytest.approx(state.var(0).mean().sqrt().item(), rel=1e-5)
        assert (row.units, row.values, row.activation, row.pre_rms) == (4, 4, "tanh", None)
        assert row.delta_rms == pytest.approx(gradient.square().mean().sqrt().item(), rel=1e-4)
        assert row.delta_finite == 1
    assert x.grad is None
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("activation", "expected"),
    [(nn.Hardtanh(), True), (nn.Hardtanh(-2, 2), False), (nn.Sigmoid(), True), (nn.ReLU6(), False)],
)
def test_saturation_is_known_of_activations_whose_ends_are(activation: nn.Module, expected: bool) -> None:
    model, (x, y) = network(activation), batch()
    row = measure(model, 10 * x, y).layers[0]
    assert (row.saturated is not None) == expected
    if isinstance(activation, nn.Hardtanh) and expected:
        assert row.saturated == pytest.approx((model[0](10 * x).abs() >= 0.99).float().mean().item())


@pytest.mark.parametrize(("samples", "known"), [(15, False), (16, True)])
def test_fewer_than_16_samples_say_nothing_of_dead_units(samples: int, known: bool) -> None:
    model = network(nn.ReLU())
    with torch.no_grad():
        model[0].bias[:2] = -1e6
    row = measure(model, *batch(samples)).layers[0]
    dead = (model[1](model[0](batch(samples)[0])) == 0).all(0).float().mean().item()
    assert row.dead == (dead if known else None)
    assert dead >= 2 / 8
