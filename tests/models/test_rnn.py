"""The recurrent network: how it reads an image, the function it computes, and its permutation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_table import build, count
from torch import Tensor, nn

from initbench import seeds
from initbench.layers import ImageRNN

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize(
    ("options", "inputs"),
    [({}, 28), ({"layers": 3}, 28), ({"input": "pixels"}, 1), ({"bias": False}, 28), ({"hidden": 7}, 28)],
    ids=str,
)
def test_parameter_count(cell: str, options: dict[str, Any], inputs: int) -> None:
    hidden, layers, biases = options.get("hidden", 128), options.get("layers", 1), options.get("bias", True)
    first = inputs * hidden + hidden * hidden + 2 * hidden * biases
    further = 2 * hidden * hidden + 2 * hidden * biases
    expected = GATES[cell] * (first + (layers - 1) * further) + 10 * hidden + 10 * biases
    assert count(build("rnn", cell=cell, **options)) == expected


def test_parameter_names() -> None:
    names = [name for name, _ in build("rnn", hidden=4).named_parameters()]
    assert names == [
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "rnn.bias_ih_l0",
        "rnn.bias_hh_l0",
        "out.weight",
        "out.bias",
    ]


def rnn_step(x: Tensor, h: Tensor, c: Tensor, of: dict[str, Tensor], phi: Any) -> tuple[Tensor, Tensor]:
    return phi(x @ of["weight_ih"].T + of["bias_ih"] + h @ of["weight_hh"].T + of["bias_hh"]), c


def gru_step(x: Tensor, h: Tensor, c: Tensor, of: dict[str, Tensor], phi: Any) -> tuple[Tensor, Tensor]:
    r_x, z_x, n_x = (x @ of["weight_ih"].T + of["bias_ih"]).chunk(3, dim=1)
    r_h, z_h, n_h = (h @ of["weight_hh"].T + of["bias_hh"]).chunk(3, dim=1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    return (1 - z) * torch.tanh(n_x + r * n_h) + z * h, c


def lstm_step(x: Tensor, h: Tensor, c: Tensor, of: dict[str, Tensor], phi: Any) -> tuple[Tensor, Tensor]:
    gates = x @ of["weight_ih"].T + of["bias_ih"] + h @ of["weight_hh"].T + of["bias_hh"]
    i, f, g, o = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("options", "step", "phi"),
    [
        ({"cell": "rnn"}, rnn_step, torch.tanh),
        ({"cell": "rnn", "activation": "relu"}, rnn_step, torch.relu),
        ({"cell": "gru"}, gru_step, None),
        ({"cell": "lstm"}, lstm_step, None),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_it_computes_a_loop_over_rows(options: dict[str, Any], step: Any, phi: Any, layers: int) -> None:
    model, images = build("rnn", (2, 4, 3), hidden=5, layers=layers, **options), torch.rand(6, 2, 4, 3)
    parameters = dict(model.get_submodule("rnn").named_parameters())
    sequence = [torch.cat([images[:, 0, row], images[:, 1, row]], dim=1) for row in range(4)]
    for layer in range(layers):
        of = {name.removesuffix(f"_l{layer}"): value for name, value in parameters.items()}
        h = c = torch.zeros(6, 5)
        for time, x in enumerate(sequence):
            h, c = step(x, h, c, of, phi)
            sequence[time] = h
    assert torch.allclose(model(images), model.get_submodule("out")(sequence[-1]), atol=1e-6)


def steps(images: Tensor, **options: Any) -> Tensor:
    channels, height, width = images.shape[1:]
    model = build("rnn", (channels, height, width), hidden=2, **options)
    assert isinstance(model, ImageRNN)
    return model.steps(images)


def test_pixels_are_read_row_after_row() -> None:
    images = torch.rand(5, 2, 3, 4)
    read = steps(images, input="pixels")
    assert read.shape == (12, 5, 2)
    assert all(torch.equal(read[4 * y + x], images[:, :, y, x]) for y in range(3) for x in range(4))


def test_a_permutation_is_drawn_from_its_own_seed() -> None:
    image = torch.arange(784.0).reshape(1, 1, 28, 28)
    order = steps(image, input="pixels", permutation=5).flatten()
    assert torch.equal(order, torch.randperm(784, generator=seeds.stream(5, "pixels")).float())
    assert torch.equal(order, steps(image, input="pixels", permutation=5).flatten())
    assert not torch.equal(order, steps(image, input="pixels", permutation=6).flatten())
    assert torch.equal(order.sort().values, image.flatten())


def test_the_permutation_is_neither_trained_nor_stored_but_moves_with_the_model() -> None:
    model = build("rnn", hidden=2, input="pixels", permutation=5)
    assert not any("order" in name for name in model.state_dict() | dict(model.named_parameters()))
    assert model.to("meta").get_buffer("order").device.type == "meta"


def test_the_module_serves_a_users_own_cell() -> None:
    model = ImageRNN(nn.GRU(3, 4, num_layers=2), nn.Linear(4, 7), by="pixels", order=torch.tensor([3, 0, 2, 1]))
    assert model(torch.rand(5, 3, 2, 2)).shape == (5, 7)
    assert "by=pixels, permuted=True" in repr(model)
