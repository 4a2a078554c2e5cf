"""Training that goes on from a state ends with the bits of training that was never interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from bright_images import dataset, initialized_model
from torch import Tensor, nn

from initbench import make_config
from initbench.config import Config
from initbench.initial import build_model
from initbench.results import Divergence, EpochRow, SignalRow
from initbench.training import train, train_stacked
from initbench.training.state import StateError, TrainingState, tensors_of

DATA = dataset()
EPOCHS = 3  # with a state before the first, in the middle, and before the last

SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "cosine, clipped": {"train": {"schedule": "cosine", "clip_norm": 0.1}},
    "momentum": {"train": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}},
    "sgd": {"train": {"optimizer": "sgd", "lr": 0.1}},
    "nesterov": {"train": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}},
    "adamw": {"train": {"optimizer": "adamw", "weight_decay": 0.1}},
    "rmsprop": {"train": {"optimizer": "rmsprop", "momentum": 0.9}},
    "bfloat16": {"train": {"precision": "bfloat16"}},
    "dropout": {"model": {"hidden": [16, 8], "dropout": 0.3}},
    "batch norm": {"model": {"hidden": [16], "norm": "batch"}},
    "cnn": {"model": {"name": "cnn", "channels": [4, 8], "kernel": 3, "hidden": [8], "norm": "batch"}},
    "residual": {"model": {"hidden": {"width": 8, "depth": 3}, "residual": True, "dropout": 0.1}},
    "lstm": {"model": {"name": "rnn", "hidden": 6, "cell": "lstm"}},
    "permuted": {"model": {"name": "rnn", "hidden": 6, "input": "pixels", "permutation": 3}},
    "signals": {"train": {"signals": 1}},
    "smaller last batch left out": {"data": {"drop_last": True, "batch_size": 50}},
}  # fmt: skip


def settings(name: str, seed: int = 0, **train: Any) -> Config:
    chosen = SETTINGS[name]
    of_train = {"epochs": EPOCHS, **chosen.get("train", {}), **train}
    return make_config({"data": {"batch_size": 50}, **chosen, "train": of_train, "seed": seed})


@dataclass
class Course:
    """What one or several trainings came to, and the state after each epoch, as it would be read back."""

    models: list[nn.Module]
    rows: list[Any] = field(default_factory=list)
    states: list[TrainingState] = field(default_factory=list)
    ends: list[Divergence | None] = field(default_factory=list)

    def epoch(self, place: int, row: EpochRow) -> None:
        self.rows.append((place, row.model_dump(exclude={"seconds"})))

    def signals(self, row: SignalRow) -> None:
        self.rows.append(row.model_dump())

    def state(self, state: TrainingState) -> None:
        copies = {name: tensor.detach().clone().contiguous() for name, tensor in state.tensors.items()}
        self.states.append(replace(state, tensors=copies))

    def bits(self) -> list[tuple[str, list[int], bytes]]:
        return [
            (name, list(tensor.shape), tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
            for model in self.models
            for name, tensor in tensors_of(model).items()
        ]


def alone(config: Config, start: TrainingState | None = None) -> Course:
    """Train one model, from the beginning or from a state: then from a model that was never initialized."""
    course = Course([initialized_model(config, DATA) if start is None else build_model(config, DATA)])
    ended = train(
        course.models[0], DATA, config, lambda row: course.epoch(0, row), course.signals,
        start=start, on_state=course.state,
    )  # fmt: skip
    course.ends.append(ended)
    return course


def together(configs: list[Config], start: TrainingState | None = None) -> Course:
    """Train a stack, from the beginning or from a state."""
    make: Callable[..., nn.Module] = initialized_model if start is None else build_model
    course = Course([make(config, DATA) for config in configs])
    course.ends = train_stacked(course.models, DATA, configs, course.epoch, start=start, on_state=course.state)
    return course


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_goes_on_from_every_epoch_with_the_same_bits(name: str) -> None:
    whole = alone(settings(name))
    assert [state.epoch for state in whole.states] == list(range(EPOCHS))
    for state in whole.states:
        rest = alone(settings(name), state)
        assert rest.bits() == whole.bits()
        told = [row for row in whole.rows if (row[1] if isinstance(row, tuple) else row)["epoch"] > state.epoch]
        assert rest.rows == told
        assert [later.epoch for later in rest.states] == list(range(state.epoch + 1, EPOCHS))


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "signals"])
def test_a_stack_goes_on_from_every_epoch_with_the_same_bits(name: str) -> None:
    configs = [settings(name, seed, lr=lr) for seed, lr in ((0, 0.01), (1, 0.001), (0, 0.001))]
    whole = together(configs)
    for state in whole.states:
        rest = together(configs, state)
        assert rest.bits() == whole.bits()
        assert rest.rows == whole.rows[3 * state.epoch :]


def test_a_stack_remembers_which_replica_diverged_and_how() -> None:
    """The second one starts from weights that are too large; they stay what they were when it diverged."""
    wild = settings("sgd").model_copy(update={"init": make_config({"init": "normal:std=1e30"}).init})
    configs = [settings("sgd"), wild, settings("sgd", seed=1)]
    whole = together(configs)
    assert whole.ends == [None, Divergence(epoch=1, step=1), None]
    rest = together(configs, whole.states[1])
    assert (rest.ends, rest.bits()) == (whole.ends, whole.bits())


@pytest.mark.parametrize("change", ["a tensor less", "another shape", "another type"])
def test_the_state_of_another_training_is_refused_and_changes_nothing(change: str) -> None:
    state = alone(settings("adam")).states[0]
    tensors: dict[str, Tensor] = dict(state.tensors)
    last = list(tensors)[-1]
    if change == "a tensor less":
        del tensors[last]
    else:
        tensors[last] = tensors[last][:1] if change == "another shape" else tensors[last].double()
    model = initialized_model(settings("adam"), DATA)
    before: Mapping[str, Tensor] = {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}
    with pytest.raises(StateError, match=r"optimizer\.0\.1.* should be torch\.float32"):
        train(model, DATA, settings("adam"), lambda row: None, start=replace(state, tensors=tensors))
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(model).items())


def test_a_state_that_lost_what_the_optimizer_remembers_would_not_do() -> None:
    """That the tests above can fail: with forgotten averages, or one step miscounted, other weights come out."""
    whole = alone(settings("adam"))
    state = whole.states[1]
    forgotten = {
        name: torch.zeros_like(tensor) if name.startswith("optimizer") else tensor
        for name, tensor in state.tensors.items()
    }
    assert alone(settings("adam"), replace(state, tensors=forgotten)).bits() != whole.bits()
    with pytest.raises(StateError, match="1 epochs are 4 steps, not 5"):
        alone(settings("adam"), replace(state, steps=state.steps + 1))
