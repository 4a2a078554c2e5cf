"""The expected time: arithmetic by hand, and a calibration whose clock is a fake one with known costs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from bench_settings import tiny

from initbench import data, estimate
from initbench.config import Config, make_config
from initbench.data import Dataset
from initbench.estimate import Costs, Work, expected_s, fit, measure, work_of
from initbench.events import InitStep
from initbench.makespan import makespan
from initbench.results import DatasetInfo
from initbench.work import Job

INFO = DatasetInfo(name="mnist", stand_in_for=None, train_size=1_050, test_size=500, sha256="a" * 64)
COSTS = Costs(run_s=0.5, epoch_s=0.25, step_s=0.01, image_s=0.001, look_s=0.125, init_s={"he": 1.0, "dbn": 20.0})


def job(label: str = "he", engine: Any = "sequential", info: DatasetInfo = INFO, **sections: Any) -> Job:
    return Job(label, make_config(sections), "cpu", engine, info, "0" * 16)


def test_what_a_training_consists_of() -> None:
    config = job(train={"epochs": 7, "signals": 3}, data={"batch_size": 100}).config
    assert work_of(config, INFO) == Work(epochs=7, steps=10, images=500, looks=3)  # before, after 3, after 6
    kept = job(train={"epochs": 2}, data={"batch_size": 100, "drop_last": False}).config
    assert work_of(kept, INFO) == Work(epochs=2, steps=11, images=500, looks=0)


def test_the_time_of_a_training_by_hand() -> None:
    config = job(train={"epochs": 4}).config
    assert COSTS.train_s(config, INFO) == pytest.approx(0.5 + 4 * (0.25 + 10 * 0.01 + 500 * 0.001))
    with_signals = job(train={"epochs": 4, "signals": 2}).config
    assert COSTS.train_s(with_signals, INFO) == pytest.approx(3.9 + 3 * 0.125)


ONE = 1.0 + 3.9  # he, 4 epochs


@pytest.mark.parametrize(
    ("labels", "workers", "start_s", "expected"),
    [
        (["he"], 1, 0.0, ONE),
        (["he"] * 4, 1, 0.0, 4 * ONE),
        (["he"] * 4, 2, 3.0, 3 + 2 * ONE),
        (["he"] * 3, 2, 3.0, 3 + 2 * ONE),  # one worker has nothing to do in the end
        (["he", "dbn", "he"], 2, 0.0, 23.9),
        (["unheard of"], 1, 0.0, 3.9),
        ([], 4, 3.0, 0.0),
    ],
)
def test_the_wall_time_by_hand(labels: list[str], workers: int, start_s: float, expected: float) -> None:
    jobs = [job(label, train={"epochs": 4}) for label in labels]
    assert expected_s(jobs, COSTS, workers, start_s) == pytest.approx(expected)


@pytest.mark.parametrize(("stack", "expected"), [(None, 6 + 3.9), (4, 6 + 2 * 3.9), (1, 6 * ONE)])
def test_a_stack_is_initialized_one_by_one_and_trained_once(stack: int | None, expected: float) -> None:
    jobs = [job(engine="stacked", train={"epochs": 4}) for _ in range(6)]
    assert expected_s(jobs, COSTS, 1, stack=stack) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("costs", "loads", "expected"),
    [
        ([3.0, 3.0, 3.0], [0.0], 9.0),
        ([3.0, 3.0, 3.0], [0.0, 0.0], 6.0),
        ([1.0, 5.0], [4.0, 0.0], 6.0),
        ([], [2.0, 1.0], 2.0),
        ([1.0] * 10_000, [0.0] * 4, 2_500.0),
    ],
)
def test_workers_share_a_list(costs: list[float], loads: list[float], expected: float) -> None:
    assert makespan(costs, loads) == pytest.approx(expected)


def test_trials_are_taken_apart() -> None:
    true = 0.02, 0.003, 0.004, 0.0001, 0.05
    trials = [Work(1, 1, 1), Work(3, 1, 1), Work(1, 64, 1), Work(1, 1, 500), Work(1, 1, 1, looks=2)]
    timed = [(work, sum(cost * count for cost, count in zip(true, work.counts, strict=True))) for work in trials]
    assert fit(timed) == pytest.approx(true)


def test_noise_makes_no_negative_cost() -> None:
    assert min(fit([(Work(1, 1, 1), 0.02), (Work(1, 2, 1), 0.01), (Work(1, 1, 64), 0.015), (Work(3, 1, 1), 0.0)])) >= 0


@dataclasses.dataclass
class Clock:
    """A clock that only moves when something is done."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def digits() -> Dataset:
    return data.load("digits", limit=None)


TRUE = Costs(run_s=0.02, epoch_s=0.005, step_s=0.002, image_s=0.00001, look_s=0.03, init_s={})


def fake_training(clock: Clock, true: Costs = TRUE) -> Callable[..., None]:
    """Take the place of `train`: the clock moves by what a training costs."""

    def train(model: object, dataset: Dataset, config: Config, *callbacks: object) -> None:
        clock.now += true.train_s(config, dataset.info)

    return train


def fake_initialization(clock: Clock, seconds: Callable[[Dataset], float], steps: int) -> Callable[..., None]:
    """Take the place of `initialize_model`: so many equal steps, each reported."""

    def initialize(model: object, config: Config, dataset: Dataset, report: Callable[[InitStep], None]) -> None:
        for step in range(steps):
            clock.now += seconds(dataset) / steps
            report(InitStep("step", step + 1, steps))

    return initialize


@pytest.mark.parametrize("signals", [0, 1])
def test_the_calibration_finds_the_costs(digits: Dataset, monkeypatch: pytest.MonkeyPatch, signals: int) -> None:
    clock = Clock()
    monkeypatch.setattr(estimate, "train", fake_training(clock))
    monkeypatch.setattr(estimate, "initialize_model", fake_initialization(clock, lambda dataset: 0.5, 5))
    one = job(info=digits.info, train={"epochs": 15, "signals": signals}, data={"name": "digits", "batch_size": 20})
    costs = measure([one], digits, clock=clock)
    assert costs is not None
    expected = TRUE.train_s(one.config, digits.info)
    assert costs.train_s(one.config, digits.info) == pytest.approx(expected, rel=1e-6)
    assert costs.init_s == pytest.approx({"he": 0.5})
    assert clock.now < 3


@pytest.mark.parametrize(
    ("scheme", "seconds", "steps", "expected"),
    [
        ("lsuv", lambda dataset: 0.4, 4, 0.4),
        ("metainit", lambda dataset: 60.0, 60, 60.0),  # stopped after its first steps
        ("dbn", lambda dataset: 0.2 + 0.01 * len(dataset.train_labels), 20, 0.2 + 0.01 * 1_438),
        ("dbn", lambda dataset: 0.00001 * len(dataset.train_labels), 20, 0.01438),
    ],
)
def test_an_initialization_that_takes_long_is_measured_at_its_beginning(
    digits: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    seconds: Callable[[Dataset], float],
    steps: int,
    expected: float,
) -> None:
    clock = Clock()
    monkeypatch.setattr(estimate, "train", fake_training(clock))
    monkeypatch.setattr(estimate, "initialize_model", fake_initialization(clock, seconds, steps))
    costs = measure([job("it", info=digits.info, init={"scheme": scheme})], digits, clock=clock)
    assert costs is not None
    assert costs.init_s["it"] == pytest.approx(expected)
    assert clock.now < 10


def test_each_scheme_is_measured_once(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def initialize(model: object, config: Config, dataset: Dataset, report: object) -> None:
        asked.append(config.init.scheme)

    monkeypatch.setattr(estimate, "initialize_model", initialize)
    monkeypatch.setattr(estimate, "train", lambda *arguments: None)
    ticks: Iterator[float] = itertools.count(0.0, 0.5)
    jobs = [
        job(label, info=digits.info, init={"scheme": label}, seed=seed) for seed in (0, 1) for label in ("he", "xavier")
    ]
    assert measure(jobs, digits, clock=lambda: next(ticks)) is not None
    assert len(asked) == len(set(asked)) == 2


def test_where_the_model_cannot_be_trained_there_is_no_estimate(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(estimate, "train", fails)
    assert measure([job(info=digits.info)], digits) is None


@pytest.mark.parametrize("engine", ["sequential", "stacked"])
@pytest.mark.parametrize("batch_size", [20, 1_000])
def test_a_real_calibration_leaves_torch_as_it_was(engine: str, batch_size: int) -> None:
    dataset = data.load("digits", limit=200)
    settings = tiny(data={"batch_size": batch_size, "drop_last": False})
    jobs = [job(engine=engine, info=dataset.info, **(settings | {"seed": seed})) for seed in (0, 1)]
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    costs = measure(jobs, dataset)
    assert costs is not None
    assert 0 < costs.train_s(jobs[0].config, dataset.info) < 10
    assert costs.init_s["he"] > 0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
