"""The training loop against a plain one written here, and what each setting does to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from bright_images import config, dataset, initialized_model
from torch import nn
from torch.nn.functional import cross_entropy

from initbench import seeds
from initbench.config import Config
from initbench.data import Dataset
from initbench.results import Divergence, EpochRow
from initbench.threads import torch_threads
from initbench.training import train
from initbench.training.devices import resolve_device
from initbench.training.epochs import learning_rate, steps_per_epoch
from initbench.training.pixels import Pixels, accuracy


@dataclass(frozen=True)
class Outcome:
    history: tuple[EpochRow, ...]
    divergence: Divergence | None


def trained(settings: Config, data: Dataset) -> tuple[nn.Module, Outcome]:
    model, rows = initialized_model(settings, data), list[EpochRow]()
    divergence = train(model, data, settings, rows.append)
    return model, Outcome(tuple(rows), divergence)


def plain_loop(settings: Config, data: Dataset) -> tuple[nn.Module, list[tuple[float, float, float]]]:
    """What the loop must do, step by step, in the words of a tutorial: plain SGD, one image batch after the other."""
    model, rows, size = initialized_model(settings, data), [], settings.data.batch_size
    for epoch in range(1, settings.train.epochs + 1):
        order = torch.randperm(len(data.train_labels), generator=seeds.stream(settings.seed, "order", epoch))
        losses, hits, seen = 0.0, 0, 0
        for first in range(0, len(order), size):
            index = order[first : first + size]
            if settings.data.drop_last and len(index) < size:
                continue
            logits = model(data.train_images[index].float() / 255)
            loss = cross_entropy(logits, data.train_labels[index])
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    assert parameter.grad is not None
                    parameter -= settings.train.lr * parameter.grad
            losses += float(loss.detach()) * len(index)
            hits += int((logits.argmax(1) == data.train_labels[index]).sum())
            seen += len(index)
        test = model(data.test_images.float() / 255).argmax(1) == data.test_labels
        rows.append((losses / seen, hits / seen, float(test.double().mean())))
    return model, rows


@pytest.mark.parametrize("drop_last", [True, False])
def test_it_does_what_the_plain_loop_does(drop_last: bool) -> None:
    settings = config(train__optimizer="sgd", train__lr=0.1, data__drop_last=drop_last)
    model, outcome = trained(settings, dataset())
    reference, rows = plain_loop(settings, dataset())
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    for row, (loss, train_accuracy, test_accuracy) in zip(outcome.history, rows, strict=True):
        assert row.train_loss == pytest.approx(loss, rel=1e-5)
        assert (row.train_accuracy, row.test_accuracy) == pytest.approx((train_accuracy, test_accuracy))


@pytest.mark.parametrize(
    "settings",
    [
        {"train__optimizer": "sgd", "train__lr": 0.1},
        {"train__optimizer": "sgd", "train__lr": 0.1, "train__momentum": 0.9, "train__nesterov": "true"},
        {"train__optimizer": "adam", "train__lr": 0.01},
        {"train__optimizer": "adamw", "train__lr": 0.01, "train__weight_decay": 0.1},
        {"train__optimizer": "rmsprop", "train__lr": 0.01},
        {"train__schedule": "cosine", "train__lr": 0.02},
        {"train__clip_norm": 0.5, "train__lr": 0.01},
        {"model__norm": "batch", "train__lr": 0.01},
        {"model__dropout": 0.2, "train__lr": 0.01},
    ],
    ids=str,
)
def test_every_setting_learns_and_repeats_to_the_bit(settings: dict[str, Any]) -> None:
    complete = config(train__epochs=40, **settings)
    model, outcome = trained(complete, dataset())
    again, _ = trained(complete, dataset())
    other, _ = trained(config(train__epochs=40, seed=1, **settings), dataset())
    assert outcome.history[-1].test_accuracy > 0.85 > 1 / 3
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss
    for ours, same, different in zip(model.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, different)


@pytest.mark.parametrize(
    ("name", "value"),
    [("momentum", 0.5), ("weight_decay", 0.1), ("schedule", "cosine"), ("clip_norm", 0.01), ("optimizer", "rmsprop")],
)
def test_no_setting_is_ignored(name: str, value: object) -> None:
    base = {"train__optimizer": "sgd", "train__lr": 0.1}
    plain, _ = trained(config(**base), dataset())
    changed, _ = trained(config(**{**base, f"train__{name}": value}), dataset())
    assert not torch.equal(next(plain.parameters()), next(changed.parameters()))


def test_cosine_ends_at_zero() -> None:
    """lr_t = lr (1 + cos(pi t / T)) / 2: the last of the T steps is taken at lr (1 + cos(pi (T - 1) / T)) / 2."""
    settings = config(train__schedule="cosine", train__lr=0.5).train
    rates = [learning_rate(settings, step, 10) for step in range(10)]
    assert rates == pytest.approx([0.5 * (1 + math.cos(math.pi * t / 10)) / 2 for t in range(10)])
    assert learning_rate(settings, 10, 10) == 0


def test_divergence_is_an_outcome_with_epoch_and_step() -> None:
    _, outcome = trained(
        config(model__activation="linear", train__optimizer="sgd", train__lr=100, train__epochs=50), dataset()
    )
    assert outcome.divergence is not None
    assert outcome.divergence.epoch == len(outcome.history) + 1 > 1
    assert 1 <= outcome.divergence.step <= 4
    assert all(math.isfinite(row.train_loss) for row in outcome.history)


def test_weights_too_large_for_float32_diverge_at_the_first_step() -> None:
    _, outcome = trained(config(init__scheme="normal:std=1e30"), dataset())
    assert outcome.history == ()
    assert outcome.divergence == Divergence(epoch=1, step=1)


def test_callback_gets_every_row_in_order() -> None:
    _, outcome = trained(config(), dataset())
    assert outcome.divergence is None
    assert [row.epoch for row in outcome.history] == [1, 2, 3]


def test_weights_that_are_not_finite_after_the_last_step_are_a_divergence_too() -> None:
    """One step of SGD with a finite loss, at a rate that carries the weights beyond float32."""
    settings = config(model__hidden="[]", init__scheme="normal:std=1e30", train__optimizer="sgd", train__epochs=1)
    assert trained(settings, dataset(50))[1].divergence is None  # the loss is finite, and so is a small step
    extreme = settings.model_copy(update={"train": settings.train.model_copy(update={"lr": 1e39})})
    _, outcome = trained(extreme, dataset(50))
    assert outcome.history == ()
    assert outcome.divergence == Divergence(epoch=1, step=1)


def test_the_order_of_the_data_does_not_depend_on_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    from initbench.training import loop

    orders: list[torch.Tensor] = []
    real = loop.epoch_order

    def spy(*arguments: Any) -> torch.Tensor:
        orders.append(real(*arguments))
        return orders[-1]

    monkeypatch.setattr(loop, "epoch_order", spy)
    for scheme in ("xavier", "orthogonal"):
        trained(config(init__scheme=scheme, model__dropout=0.1), dataset())
    for first, second in zip(orders[:3], orders[3:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(orders[0], orders[1])  # each epoch has its own


@pytest.mark.parametrize(
    ("images", "batch", "drop", "steps"), [(230, 50, True, 4), (230, 50, False, 5), (9, 10, True, 0)]
)
def test_steps_per_epoch(images: int, batch: int, drop: bool, steps: int) -> None:
    assert steps_per_epoch(images, batch, drop) == steps


def test_pixels_are_in_zero_one_and_eval_scale_255_gives_the_raw_ones() -> None:
    raw = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    order = torch.tensor([2, 0, 3])
    assert torch.equal(Pixels(raw).at(order), raw[order].float() / 255)
    assert torch.equal(Pixels(raw, 255).between(0, 4), raw.float())
    pixels = Pixels(raw)
    for chosen in (order, order[:1], order):
        assert torch.equal(pixels.at(chosen), raw[chosen].float() / 255)


def test_accuracy_is_the_share_of_right_answers_whatever_the_chunk() -> None:
    images = torch.randint(0, 256, (11, 1, 2, 2), dtype=torch.uint8)
    model = nn.Flatten()  # four logits: the pixels themselves
    labels = images.flatten(1).long().argmax(1)
    labels[:3] = (labels[:3] + 1) % 4
    for chunk in (1, 4, 100):
        assert accuracy(model, images, labels, chunk=chunk) == pytest.approx(8 / 11)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_cuda_where_there_is_none(name: str) -> None:
    from initbench import DeviceError

    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(DeviceError, match="Use --device cpu or --device auto"):
        resolve_device(name)


class Transposed(nn.Module):
    """A layer as many write it: the gradient of its weight comes in transposed memory, and one has gaps in its own."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(16, 8, generator=generator) / 4)
        self.second = nn.Parameter((torch.randn(3, 16, generator=generator) / 3)[:, ::2])
        self.bias, self.shift = (nn.Parameter(torch.zeros(3)) for _ in range(2))  # one gradient for both
        self.level = nn.Parameter(torch.full((4,), 0.25))  # its gradient is one number, expanded

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(torch.einsum("bi,io->bo", images.flatten(1), self.first))
        return hidden @ self.second.T * self.level.sum() + self.bias + self.shift


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_module_of_ones_own_is_trained_as_torch_would(optimizer: str, clip_norm: float | None) -> None:
    clipping = {} if clip_norm is None else {"train__clip_norm": clip_norm}
    settings, data = config(train__optimizer=optimizer, train__lr=0.01, **clipping), dataset()
    ours, theirs = Transposed(), Transposed()
    train(ours, data, settings, lambda row: None)
    kinds = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    options = {} if optimizer in ("sgd", "rmsprop") else {"weight_decay": 0.0}
    reference: Any = kinds[optimizer](theirs.parameters(), lr=0.01, **options)
    for epoch in range(1, settings.train.epochs + 1):
        order = torch.randperm(len(data.train_labels), generator=seeds.stream(settings.seed, "order", epoch))
        for index in order[:200].split(50):
            reference.zero_grad()
            cross_entropy(theirs(data.train_images[index].float() / 255), data.train_labels[index]).backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm)
            reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_losses_and_accuracy_of_single_images_are_each_images_own() -> None:
    """A batch of one has logits that need no transposing: they must be kept all the same."""
    settings = config(data__batch_size=1, train__optimizer="sgd", train__lr=0.01, train__epochs=1)
    _, outcome = trained(settings, dataset(60))
    _, [(loss, train_accuracy, test_accuracy)] = plain_loop(settings, dataset(60))
    [row] = outcome.history
    assert row.train_loss == pytest.approx(loss, rel=1e-4)
    assert (row.train_accuracy, row.test_accuracy) == pytest.approx((train_accuracy, test_accuracy))
