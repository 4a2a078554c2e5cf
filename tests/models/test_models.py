"""What holds for every model: its shapes, that it trains, and that nothing it draws reaches a seeded stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bench_settings import tiny
from model_table import NETWORKS, build

import initbench

every_network = pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)


@every_network
@pytest.mark.parametrize("image_shape", [(1, 28, 28), (1, 8, 8), (3, 8, 12)])
def test_images_become_logits(options: dict[str, Any], image_shape: tuple[int, int, int]) -> None:
    assert build(image_shape=image_shape, **options)(torch.rand(5, *image_shape)).shape == (5, 10)


@every_network
def test_equal_seeds_start_equal_whatever_torchs_global_generator_holds(options: dict[str, Any]) -> None:
    def started(global_seed: int, seed: int) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            model = build(**options)
        initbench.initialize(model, "xavier_uniform", generator=torch.Generator().manual_seed(seed))
        return dict(model.named_parameters()) | dict(model.named_buffers())

    first, same, other = started(1, 0), started(2, 0), started(1, 1)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_network
def test_every_parameter_gets_a_gradient(options: dict[str, Any]) -> None:
    model = build(**options)
    model(torch.rand(5, 1, 28, 28)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    "options", [{"name": "cnn"}, {"name": "rnn"}, NETWORKS["lstm"], NETWORKS["residual mlp"]], ids=str
)
def test_a_run_trains_and_learns(options: dict[str, Any]) -> None:
    result = initbench.run({**tiny(train={"lr": 0.002}), "model": options}, runs_dir=None)
    first, last = result.history
    assert result.status == "done"
    assert last.train_loss < first.train_loss
