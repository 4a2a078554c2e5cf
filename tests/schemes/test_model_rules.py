"""Rules on a whole model: what each paper says of the weights, the biases and what the network computes."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initbench import initialize
from initbench.errors import SchemeError
from initbench.layers import ImageRNN, Residual
from initbench.mean_field import chi1, fixed_point
from initbench.models import models


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(name: str, **options: Any) -> nn.Module:
    return models[name].build(models[name].options(**options), (1, 28, 28), 10)


def started(scheme: str, model: nn.Module, activation: str | None = "relu", **arguments: Any) -> nn.Module:
    initialize(model, scheme, generator=generator(), activation=activation, **arguments)
    return model


def parameter(model: nn.Module, name: str) -> Tensor:
    return model.get_parameter(name).detach()


def test_irnn_hands_the_state_on() -> None:
    model = started("irnn", build("rnn", hidden=200, activation="relu"))
    assert torch.equal(parameter(model, "rnn.weight_hh_l0"), torch.eye(200))
    for name in ("rnn.weight_ih_l0", "out.weight"):
        assert float(parameter(model, name).std()) == pytest.approx(0.001, rel=0.1)
    assert all(not parameter(model, name).any() for name, _ in model.named_parameters() if "bias" in name)
    scaled = started("irnn:scale=0.5:std=0.1", build("rnn", hidden=20))
    assert torch.equal(parameter(scaled, "rnn.weight_hh_l0"), 0.5 * torch.eye(20))


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_orthogonal_recurrent_is_orthogonal_gate_by_gate_and_xavier_elsewhere(cell: str, gates: int) -> None:
    model = started("orthogonal_recurrent", build("rnn", cell=cell, hidden=50))
    blocks = parameter(model, "rnn.weight_hh_l0").chunk(gates)
    for block in blocks:
        assert (block @ block.T - torch.eye(50)).abs().max() < 1e-5
    assert len({block.sum().item() for block in blocks}) == gates
    bound = math.sqrt(6 / (28 + 50))
    assert 0.95 * bound < float(parameter(model, "rnn.weight_ih_l0").abs().max()) <= bound


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"hidden": [64] * 10}),
        ("mlp", {"hidden": [64, 32, 128]}),
        ("cnn", {"channels": [4, 8], "kernel": 3, "hidden": [20]}),
    ],
)
@pytest.mark.parametrize("base", ["orthogonal", "lecun_normal"])
def test_gsm_makes_a_relu_network_linear(name: str, options: dict[str, Any], base: str) -> None:
    model = started(f"gsm:base={base}", build(name, **options)).double()
    x, y = torch.rand(2, 5, 1, 28, 28, dtype=torch.float64)
    assert torch.allclose(model(2 * x - 3 * y), 2 * model(x) - 3 * model(y), atol=1e-9)
    assert model(x).abs().max() > 1e-3


def test_gsm_is_an_isometry_between_layers_of_equal_width() -> None:
    model = started("gsm", build("mlp", hidden=[64] * 20))
    hidden = nn.Sequential(*list(model)[:-1])  # type: ignore[call-overload]
    first = model.get_submodule("fc1")
    x = torch.rand(7, 1, 28, 28)
    before = first(x.flatten(1))[:, :32].norm(dim=1)  # of one half: the other is its negative
    assert torch.allclose(hidden(x).norm(dim=1), before, rtol=1e-4)


def test_fixup_scales_branches_by_the_number_of_blocks_and_starts_at_zero() -> None:
    model = started("fixup", build("mlp", hidden={"width": 400, "depth": 17}, residual=True))
    he, blocks = math.sqrt(2 / 400), 8
    for block, first, last in ((1, 2, 3), (8, 16, 17)):
        measured = float(parameter(model, f"block{block}.fc{first}.weight").std())
        assert measured == pytest.approx(he * blocks ** (-1 / 2), rel=0.02)  # m = 2: L^(-1/(2m-2)) = L^(-1/2)
        assert not parameter(model, f"block{block}.fc{last}.weight").any()
        assert parameter(model, f"block{block}.scale") == 1
    assert float(parameter(model, "fc1.weight").std()) == pytest.approx(math.sqrt(2 / 784), rel=0.02)
    assert not model(torch.rand(3, 1, 28, 28)).any()


def test_fixup_follows_the_depth_of_the_branch() -> None:
    def block() -> Residual:
        return Residual(OrderedDict((str(layer), nn.Linear(300, 300)) for layer in range(3)))

    model = started("fixup", nn.Sequential(block(), block(), nn.Linear(300, 2)))
    expected = math.sqrt(2 / 300) * 2 ** (-1 / 4)  # two blocks of m = 3 layers: L^(-1/(2m-2)) = 2^(-1/4)
    for name in ("0.0.weight", "0.1.weight", "1.1.weight"):
        assert float(parameter(model, name).std()) == pytest.approx(expected, rel=0.02)
    assert not parameter(model, "1.2.weight").any()


def test_skipinit_makes_each_block_the_identity_until_another_scheme_is_applied() -> None:
    model = started("skipinit", build("mlp", hidden=[50] * 5, residual=True))
    x = torch.rand(4, 50)
    assert torch.equal(model.get_submodule("block1")(x), x)
    assert float(parameter(model, "block1.fc3.weight").std()) == pytest.approx(math.sqrt(2 / 50), rel=0.1)
    started("he", model)
    assert parameter(model, "block1.scale") == 1


@pytest.mark.parametrize("activation", ["tanh", "gelu", "sigmoid"])
def test_critical_draws_weights_and_biases_on_the_critical_line(activation: str) -> None:
    model = started("critical:sb=0.5", build("mlp", hidden=[400, 400, 400], activation=activation), activation)
    sigma_w = float(parameter(model, "fc2.weight").std()) * math.sqrt(400)
    biases = torch.cat([parameter(model, f"fc{layer}.bias") for layer in (1, 2, 3)])
    assert float(biases.std()) == pytest.approx(0.5, rel=0.1)
    assert float(parameter(model, "fc1.weight").std()) * math.sqrt(784) == pytest.approx(sigma_w, rel=0.02)
    assert chi1(activation, fixed_point(activation, sigma_w, 0.5), sigma_w) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(
    ("activation", "sw", "sb"), [("tanh", 1, 0), ("relu", math.sqrt(2), 0), ("gelu", 1.4082, 0.416)]
)
def test_critical_takes_the_first_point_of_the_line_by_default(activation: str, sw: float, sb: float) -> None:
    model = started("critical", build("mlp", hidden=[800, 800], activation=activation), activation)
    assert float(parameter(model, "fc2.weight").std()) * math.sqrt(800) == pytest.approx(sw, rel=0.01)
    assert float(parameter(model, "fc2.bias").std()) == pytest.approx(sb, rel=0.1)


def test_critical_solves_for_the_biases_where_the_weights_are_given() -> None:
    model = started("critical:sw=1.5", build("mlp", hidden=[800, 800], activation="tanh"), "tanh")
    sigma_b = float(torch.cat([parameter(model, "fc1.bias"), parameter(model, "fc2.bias")]).std())
    assert chi1("tanh", fixed_point("tanh", 1.5, sigma_b), 1.5) == pytest.approx(1, rel=0.05)


def test_critical_takes_what_it_is_given() -> None:
    model = started("critical:sw=1.5:sb=0.2", build("mlp", hidden=[500, 500], activation="tanh"), "tanh")
    assert float(parameter(model, "fc2.weight").std()) == pytest.approx(1.5 / math.sqrt(500), rel=0.02)
    relu = started("critical", build("cnn", channels=[32, 32], kernel=3))
    assert float(parameter(relu, "conv2.weight").std()) == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.05)
    assert not parameter(relu, "conv1.bias").any()


RNN, GRU = {"name": "rnn"}, {"name": "rnn", "cell": "gru"}
RESIDUAL = {"name": "mlp", "hidden": [16] * 3, "residual": True}


@pytest.mark.parametrize(
    ("scheme", "model", "activation", "message"),
    [
        ("irnn", {"name": "mlp"}, "relu", "it is for recurrent networks, and there is no recurrent layer"),
        ("irnn", GRU, "tanh", "without gates (model.cell=rnn), but rnn is a GRU"),
        ("orthogonal_recurrent", {"name": "cnn"}, "relu", "there is no recurrent layer"),
        ("fixup", {"name": "mlp"}, "relu", "there is no residual block (model.residual=true has some)"),
        ("skipinit", RNN, "tanh", "there is no residual block"),
        ("gsm", {"name": "mlp"}, "tanh", "it mirrors weights for activation relu; the model's is tanh"),
        ("gsm", {"name": "mlp", "hidden": [7, 8]}, "relu", "an even number of units; fc1 has 7"),
        ("gsm", {"name": "cnn", "channels": [4, 4], "groups": 2}, "relu", "conv2 has 2 groups"),
        (
            "gsm",
            RESIDUAL,
            "relu",
            "plain stacks of Linear and convolution layers, but block1 is of class Residual",
        ),
        ("critical:sb=1", {"name": "mlp"}, "relu", "relu"),
        ("critical", {"name": "mlp"}, None, "needs an activation"),
        ("critical", RNN, "tanh", "its theory is about plain feed-forward networks"),
        ("critical", RESIDUAL, "relu", "its theory is about plain feed-forward networks"),
        ("gsm", {"name": "cnn", "pool": "max"}, "relu", "max pooling is not linear"),
        ("rbm", {"name": "cnn"}, "relu", "it is for plain stacks of Linear layers, but conv1 is of class Conv2d"),
        ("dbn", RNN, "tanh", "but the model is of class ImageRNN"),
        ("sdae", {"name": "mlp", "hidden": []}, "relu", "it needs a hidden layer, and there is none"),
        ("dbn", {"name": "mlp", "norm": "batch"}, "relu", "norm1 is of class BatchNorm1d"),
        ("lsuv", RNN, "tanh", "it is for Linear and convolution layers, but rnn is a RNN"),
    ],
)
def test_unfit_models_are_refused_in_one_line_and_left_alone(
    scheme: str, model: dict[str, Any], activation: str | None, message: str
) -> None:
    module = build(**model)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(SchemeError) as caught:
        started(scheme, module, activation)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_fixup_on_a_model_that_is_one_block_and_on_a_block_without_weights() -> None:
    block = Residual(OrderedDict(one=nn.Linear(8, 8), two=nn.Linear(8, 8)))
    x = torch.rand(3, 8)
    assert torch.equal(started("fixup", block)(x), x)
    started("fixup", nn.Sequential(Residual(OrderedDict(act=nn.ReLU())), nn.Linear(8, 2)))


def test_image_rnn_is_found_in_a_module_of_ones_own() -> None:
    model = nn.Sequential(ImageRNN(nn.RNN(28, 6), nn.Linear(6, 4)), nn.ReLU(), nn.Linear(4, 2))
    started("irnn", model)
    assert torch.equal(parameter(model, "0.rnn.weight_hh_l0"), torch.eye(6))
