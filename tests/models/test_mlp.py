"""The multilayer perceptron: its layers, and what each option does."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from initbench import register_model
from initbench.activations import MODULES, Activation
from initbench.errors import UsageError
from initbench.layers import SeededDropout, seed_dropout
from initbench.models import ModelOptions, models


def build(**options: Any) -> nn.Module:
    return models["mlp"].build(models["mlp"].options(**options), (1, 28, 28), 10)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10),
        ({"hidden": []}, 784 * 10 + 10),
        ({"hidden": [512] * 4}, 784 * 512 + 3 * 512 * 512 + 4 * 512 + 512 * 10 + 10),
        ({"hidden": [8], "bias": False}, 784 * 8 + 8 * 10),
        ({"hidden": [8], "norm": "batch"}, 784 * 8 + 8 + 2 * 8 + 8 * 10 + 10),
        ({"hidden": [8], "norm": "layer", "dropout": 0.5}, 784 * 8 + 8 + 2 * 8 + 8 * 10 + 10),
        ({"hidden": {"width": 8, "depth": 50}}, 784 * 8 + 8 + 49 * (8 * 8 + 8) + 8 * 10 + 10),
        ({"hidden": [8] * 5, "residual": True}, 784 * 8 + 8 + 2 * (2 * (8 * 8 + 8) + 1) + 8 * 10 + 10),
    ],
)
def test_parameter_count(options: dict[str, Any], parameters: int) -> None:
    assert sum(parameter.numel() for parameter in build(**options).parameters()) == parameters


def test_layer_names_and_order() -> None:
    names = [name for name, _ in build(hidden=[4, 4], norm="layer", dropout=0.1).named_children()]
    assert names == ["flatten", "fc1", "norm1", "act1", "drop1", "fc2", "norm2", "act2", "drop2", "out"]


def test_residual_layer_names_and_order() -> None:
    model = build(hidden=[4] * 5, residual=True, norm="batch", dropout=0.1)
    names = [name for name, _ in model.named_children()]
    assert names == ["flatten", "fc1", "norm1", "act1", "drop1", "block1", "act3", "block2", "act5", "out"]
    branch = [name for name, _ in model.get_submodule("block1").named_children()]
    assert branch == ["fc2", "norm2", "act2", "drop2", "fc3", "norm3"]
    assert torch.equal(model.get_parameter("block2.scale"), torch.ones(1))


@pytest.mark.parametrize("scale", [1.0, 0.0, -0.3])
def test_a_block_adds_its_scaled_branch_and_then_activates(scale: float) -> None:
    model, images = build(hidden=[6] * 5, residual=True, activation="tanh"), torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        model.get_parameter("block2.scale").fill_(scale)
    of = dict(model.named_parameters())
    x = torch.tanh(images.flatten(1) @ of["fc1.weight"].T + of["fc1.bias"])
    for block, first, second, factor in (("block1", "fc2", "fc3", 1.0), ("block2", "fc4", "fc5", scale)):
        inner = torch.tanh(x @ of[f"{block}.{first}.weight"].T + of[f"{block}.{first}.bias"])
        x = torch.tanh(x + factor * (inner @ of[f"{block}.{second}.weight"].T + of[f"{block}.{second}.bias"]))
    assert torch.allclose(model(images), x @ of["out.weight"].T + of["out.bias"], atol=1e-6)


@pytest.mark.parametrize(
    ("hidden", "written"),
    [
        ({"width": 3, "depth": 2}, [3, 3]),
        ({"width": 300, "depth": 8}, [300] * 8),
        ({"width": 300, "depth": 50}, {"width": 300, "depth": 50}),
        ({"width": 1, "depth": 10_000}, {"width": 1, "depth": 10_000}),
    ],
    ids=str,
)
def test_the_depth_shorthand_is_the_list_of_widths(hidden: dict[str, int], written: object) -> None:
    options = models["mlp"].options
    short, long = options(hidden=hidden), options(hidden=[hidden["width"]] * hidden["depth"])
    assert short == long
    assert hash(short) == hash(long)
    assert short.hidden == (hidden["width"],) * hidden["depth"]
    assert short.model_dump(mode="json")["hidden"] == written
    assert options(**short.model_dump(mode="json")) == options(**short.model_dump()) == short


def test_no_hidden_layer_is_softmax_regression() -> None:
    model, images = build(hidden=[]), torch.rand(3, 1, 28, 28)
    weight, bias = model.get_parameter("out.weight"), model.get_parameter("out.bias")
    assert torch.allclose(model(images), images.flatten(1) @ weight.T + bias, atol=1e-6)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_is_built_and_is_torchs(activation: str) -> None:
    layer = build(activation=activation, hidden=[4]).get_submodule("act1")
    expected = torch.nn.functional
    x = torch.linspace(-3, 3, 13)
    reference = x if activation == "linear" else getattr(expected, activation, getattr(torch, activation, None))(x)
    assert torch.equal(layer(x), reference)


def test_the_table_of_activations_is_complete() -> None:
    assert set(MODULES) == set(get_args(Activation))


@pytest.mark.parametrize(
    "options",
    [{"hidden": [0]}, {"hidden": [2.5]}, {"hidden": [True]}, {"dropout": 1.0}, {"dropout": -0.1}, {"norm": "group"},
     {"activation": "swish"}, {"bias": 1}, {"depth": 3}, {"hidden": [1] * 10_001}, {"hidden": {"width": 3}},
     {"residual": True}, {"residual": True, "hidden": [8, 4, 8]}, {"residual": True, "hidden": []}],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        models["mlp"].options(**options)


def test_dropout_zeroes_a_share_p_and_rescales_the_rest_in_training_only() -> None:
    layer = SeededDropout(0.3)
    layer.generator = torch.Generator().manual_seed(0)
    x = torch.ones(100_000)
    y = layer(x)
    assert float((y == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.allclose(y[y != 0], torch.tensor(1 / 0.7))
    assert torch.equal(layer.eval()(x), x)


def test_dropout_masks_come_from_seed_name_and_epoch() -> None:
    def masks(seed: int, epoch: int) -> list[torch.Tensor]:
        model = nn.Sequential(SeededDropout(0.5), SeededDropout(0.5))
        seed_dropout(model, seed, epoch, torch.device("cpu"))
        return [layer(torch.ones(64)) for layer in model]

    before = torch.get_rng_state()
    first, second = masks(1, 1)
    assert torch.equal(first, masks(1, 1)[0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, masks(2, 1)[0])
    assert not torch.equal(first, masks(1, 2)[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_name_is_taken_once() -> None:
    with pytest.raises(UsageError, match="model 'mlp' is registered already"):
        register_model("mlp", ModelOptions)(lambda options, shape, classes: nn.Identity())
