"""Signals recorded during training: when, on which images, and that no number of the run depends on them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bright_images import config, dataset, initialized_model
from torch import Tensor, nn

from initbench.config import Config
from initbench.data import Dataset
from initbench.results import Divergence, EpochRow, LayerSignal, SignalRow
from initbench.signals import measure as measuring
from initbench.training import loop, train
from initbench.training.signals import fixed_batch

LAYER = LayerSignal(
    name="fc1", kind="Linear", activation="relu", units=2, values=2, step=None, finite=1, pre_mean=0, pre_std=1,
    pre_rms=1, mean=0.4, std=0.6, sample_std=0.6, saturated=None, dead=0, effective_rank=1.9, max_rank=2,
    histogram=None, delta_rms=0.1, delta_finite=1,
)  # fmt: skip


class Fake:
    """Takes note of what it is asked to measure."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.labels: list[Tensor] = []

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, **options: Any) -> Any:
        self.images.append(images)
        self.labels.append(labels)
        return SimpleNamespace(layers=(LAYER,), weights=())


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setattr(measuring, "measure", fake)
    return fake


def trained(
    settings: Config, data: Dataset, model: nn.Module | None = None
) -> tuple[nn.Module, list[EpochRow], list[SignalRow], Divergence | None]:
    model = initialized_model(settings, data) if model is None else model
    rows, signals = list[EpochRow](), list[SignalRow]()
    divergence = train(model, data, settings, rows.append, signals.append)
    return model, rows, signals, divergence


@pytest.mark.parametrize(
    ("every", "epochs"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4]), (5, [0, 5]), (6, [0]), (100_000, [0]), (0, [])]
)
@pytest.mark.usefixtures("fake")
def test_it_is_done_before_the_first_and_after_every_nth_epoch(every: int, epochs: list[int]) -> None:
    _, rows, signals, _ = trained(config(train__epochs=5, train__signals=every), dataset())
    assert [row.epoch for row in signals] == epochs
    assert len(rows) == 5
    assert all(row.layers == (LAYER,) for row in signals)


@pytest.mark.usefixtures("fake")
def test_each_row_comes_after_the_row_of_its_epoch() -> None:
    told: list[str] = []
    settings, data = config(train__epochs=2, train__signals=1), dataset()
    model = initialized_model(settings, data)
    train(model, data, settings, lambda row: told.append(f"epoch {row.epoch}"), lambda row: told.append(f"{row.epoch}"))
    assert told == ["0", "epoch 1", "1", "epoch 2", "2"]


def test_off_nothing_is_measured_and_nothing_drawn(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    from initbench.training import signals

    monkeypatch.setattr(signals, "fixed_batch", lambda *_: pytest.fail("drawn"))
    trained(config(), dataset())
    settings, data = config(train__signals=1), dataset()
    train(initialized_model(settings, data), data, settings, lambda row: None)  # nobody listens
    assert fake.images == []


def test_the_batch_is_the_same_for_every_epoch_and_scheme_and_another_for_another_seed(fake: Fake) -> None:
    for scheme in ("xavier", "orthogonal"):
        trained(config(train__signals=1, init__scheme=scheme, model__dropout=0.1), dataset(300))
    assert len(fake.images) == 8
    assert all(torch.equal(one, fake.images[0]) for one in fake.images)
    assert all(torch.equal(one, fake.labels[0]) for one in fake.labels)
    (same, labels), (other, _) = fixed_batch(dataset(300), 0), fixed_batch(dataset(300), 1)
    assert torch.equal(same, fake.images[0])
    assert torch.equal(labels, fake.labels[0])
    assert not torch.equal(other, same)


@pytest.mark.parametrize(("images", "measured"), [(300, 256), (256, 256), (40, 40)])
def test_it_has_256_training_images_each_once_as_training_sees_them(images: int, measured: int) -> None:
    data = dataset(images)
    batch, labels = fixed_batch(data, 3)
    assert batch.shape == (measured, 1, 4, 4)
    assert batch.dtype == torch.float32
    pixels = [tuple(image.flatten().tolist()) for image in data.train_images]
    known = dict(zip(pixels, data.train_labels.tolist(), strict=True))
    found = [tuple((image * 255).round().int().flatten().tolist()) for image in batch]
    assert len(set(found)) == measured
    assert [known[image] for image in found] == labels.tolist()


class DrawsAlways(nn.Module):
    """Draws from torch's global generator, in evaluation too, and counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
        )
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.body(images + 0.01 * torch.rand_like(images))
        return logits


SETTINGS: list[dict[str, Any]] = [
    {"train__optimizer": "sgd", "train__lr": 0.1, "train__momentum": 0.9, "train__nesterov": "true"},
    {"train__optimizer": "adam", "train__lr": 0.01},
    {"train__optimizer": "adamw", "train__lr": 0.01, "train__weight_decay": 0.1},
    {"train__optimizer": "rmsprop", "train__lr": 0.01, "train__momentum": 0.5},
    {"train__schedule": "cosine", "train__clip_norm": 0.5, "train__lr": 0.02},
    {"model__norm": "batch", "model__dropout": 0.2, "train__lr": 0.01},
    {"model__norm": "layer", "init__scheme": "lsuv"},
    {"model": "{name: cnn, channels: [4], hidden: [], norm: batch}"},
    {"model": "{name: rnn, hidden: 8, cell: lstm}"},
    {"own": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_no_number_of_the_run_depends_on_it(settings: dict[str, Any]) -> None:
    outcomes = []
    for every in (0, 1, 2):
        changes = {key: value for key, value in settings.items() if key != "own"}
        torch.manual_seed(0)
        model = DrawsAlways() if "own" in settings else None
        model, rows, signals, _ = trained(config(**changes, train__signals=every), dataset(), model)
        assert len(signals) == (0, 4, 2)[every]
        assert all(weight.update_ratio is not None for row in signals for weight in row.weights)
        outcomes.append((model.state_dict(), [row.model_copy(update={"seconds": 0.0}) for row in rows]))
        assert all(module.training == model.training for module in model.modules())
    (plain, history), *others = outcomes
    for state, rows in others:
        assert rows == history
        assert state.keys() == plain.keys()
        assert all(torch.equal(state[name], plain[name]) for name in plain)


def test_signals_repeat_by_the_seed_whatever_was_drawn_before() -> None:
    def recorded(seed: int) -> list[SignalRow]:
        torch.manual_seed(0)
        model = DrawsAlways()
        torch.manual_seed(torch.seed())
        return trained(config(train__signals=1, seed=seed), dataset(), model)[2]

    first, again, other = recorded(0), recorded(0), recorded(1)
    assert first == again
    assert all(one.layers != another.layers for one, another in zip(first, other, strict=True))


def test_the_first_row_is_the_initialization_and_the_later_ones_are_not() -> None:
    settings, data = config(train__signals=1, train__optimizer="sgd", train__lr=0.1), dataset()
    start = initialized_model(settings, data)
    expected = measuring.measure(start, *fixed_batch(data, settings.seed))
    _, _, (first, second, *_), _ = trained(settings, data)
    assert first.layers == expected.layers
    assert second.layers != first.layers
    for weight, parameter in zip(first.weights, (start.get_parameter(one.name) for one in first.weights), strict=True):
        assert weight.grad_norm is not None
        assert weight.update_ratio == pytest.approx(0.1 * weight.grad_norm / float(parameter.detach().norm()), rel=1e-4)


@pytest.mark.parametrize("every", [1, 1_000])
def test_a_training_that_diverges_keeps_the_rows_from_before_and_one_of_its_end(every: int) -> None:
    settings = config(
        model__activation="linear", train__optimizer="sgd", train__lr=100, train__epochs=50, train__signals=every
    )
    _, rows, signals, divergence = trained(settings, dataset())
    assert divergence is not None
    last = divergence.epoch
    assert [row.epoch for row in rows] == list(range(1, last))
    assert [row.epoch for row in signals] == (list(range(last + 1)) if every == 1 else [0, last])
    assert last > 1
    assert all(weight.finite == 1 for weight in signals[0].weights)
    assert any(weight.finite < 1 for weight in signals[-1].weights)
    _, rows, signals, divergence = trained(config(init__scheme="normal:std=1e30", train__signals=every), dataset())
    assert (rows, divergence) == ([], Divergence(epoch=1, step=1))
    assert [row.epoch for row in signals] == [0, 1]


def test_the_seconds_of_an_epoch_leave_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(*_: Any, **__: Any) -> Any:
        clock[0] += 1_000
        return SimpleNamespace(layers=(), weights=())

    monkeypatch.setattr(measuring, "measure", slow)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    _, rows, signals, _ = trained(config(train__signals=1), dataset())
    assert clock == [4_000]
    assert len(signals) == 4
    assert [row.seconds for row in rows] == [0.0] * 3
    assert all(math.isfinite(row.train_loss) for row in rows)


class CannotBeMeasured(nn.Module):
    """Trains and evaluates, but raises in evaluation where a gradient is kept, as only a measurement does."""

    def __init__(self, error: Exception, *, going_back: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
        self.error = (type(error), error.args)
        self.going_back = going_back

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        if not self.training and torch.is_grad_enabled():
            if not self.going_back:
                self._raise(logits)
            logits.register_hook(self._raise)  # type: ignore[no-untyped-call]
        return logits

    def _raise(self, gradient: Tensor) -> None:
        kind, said = self.error
        raise kind(*said)


@pytest.mark.parametrize("going_back", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no such kernel\nand a second line"), NotImplementedError("not in evaluation"), KeyError("cache"),
        ValueError(), ZeroDivisionError("division by zero"), TypeError("no None"), AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_module_that_cannot_be_measured_is_trained_all_the_same(error: Exception, going_back: bool) -> None:
    (plain, history, none, _), (model, rows, signals, divergence) = (
        trained(config(train__signals=every), dataset(), CannotBeMeasured(error, going_back=going_back))
        for every in (0, 1)
    )
    assert (none, divergence) == ([], None)
    assert [row.model_copy(update={"seconds": 0.0}) for row in rows] == [
        row.model_copy(update={"seconds": 0.0}) for row in history
    ]
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in model.state_dict().items())
    assert [row.epoch for row in signals] == [0, 1, 2, 3]
    for row in signals:
        assert (row.layers, row.weights) == ((), ())
        assert row.problem
        assert "\n" not in row.problem
        assert (str(error).strip("'").splitlines() or [type(error).__name__])[0] in row.problem
        assert SignalRow.model_validate_json(row.model_dump_json()) == row
