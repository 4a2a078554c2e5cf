"""The remaining time is honest: simulated comparisons, whose true end is known at every moment."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from report.builders import MNIST, run_result

from initbench.cli.eta import Eta, in_words
from initbench.events import EpochDone, Event, Initializing, InitStep, Planned, Resumed, RunDone
from initbench.results import EpochRow

EPOCHS = 10


@dataclass(frozen=True)
class Cost:
    """What a run takes: initialization, in so many reported steps, and epochs; one that diverges ends within one."""

    init_s: float = 0.0
    init_steps: int = 0
    epoch_s: float = 1.0
    epochs: int = EPOCHS  # those that end; where fewer than EPOCHS, the next one begins and diverges


Timed = tuple[float, Event]


def run_events(label: str, seed: int, cost: Cost, noise: Callable[[], float]) -> list[Timed]:
    """The events of one run, by the seconds since it began."""
    run_id, now, events = f"{label}-{seed}", 0.0, list[Timed]()
    for step in range(cost.init_steps):
        now += cost.init_s / cost.init_steps * noise()
        events.append((now, Initializing(run_id, label, seed, InitStep("layer", step + 1, cost.init_steps))))
    if not cost.init_steps:
        now += cost.init_s
    init_s = now
    rows = []
    for epoch in range(1, cost.epochs + 1):
        took = cost.epoch_s * noise()
        now += took
        rows.append(EpochRow(epoch=epoch, train_loss=1, train_accuracy=0.5, test_accuracy=0.5, seconds=took))
        events.append((now, EpochDone(run_id, label, seed, rows[-1])))
    diverged = cost.epochs < EPOCHS
    now += cost.epoch_s * diverged
    result = run_result(
        label, seed, None if diverged else 0.5, status="diverged" if diverged else "done",
        history=(), init_s=init_s, train_s=now - init_s,
    ).model_copy(update={"history": tuple(rows)})  # fmt: skip
    events.append((now, RunDone(label, result, reused=False)))
    return events


def jitter() -> Callable[[], float]:
    """Factors from .9 to 1.1 that repeat only after long: an epoch does not take the same time twice."""
    numbers: Iterator[float] = iter([])

    def noise() -> float:
        nonlocal numbers
        try:
            return next(numbers)
        except StopIteration:
            numbers = iter([0.9 + 0.2 * (index * 0.6180339887 % 1) for index in range(1, 1000)])
            return next(numbers)

    return noise


def simulated(costs: dict[str, Cost], seeds: int, workers: int, gap_s: float, start_s: float = 0.0) -> list[Timed]:
    """All events of a comparison in their order: workers take one run after the other, seed by seed."""
    free, events, noise = [start_s] * workers, list[Timed](), jitter()
    for seed in range(seeds):
        for label, cost in costs.items():
            began = heapq.heappop(free)
            mine = run_events(label, seed, cost, noise)
            events += [(began + at, event) for at, event in mine]
            heapq.heappush(free, began + mine[-1][0] + gap_s)
    return sorted(events, key=lambda timed: timed[0])


def planned(labels: tuple[str, ...], workers: int, **changes: object) -> Planned:
    facts = {
        "config": {}, "device": "cpu", "dataset": MNIST, "parameters": 1, "runs": len(labels), "seeds": (0,),
        "epochs": EPOCHS, "reused": 0, "run_dir": None, "labels": labels, "workers": workers,
    }  # fmt: skip
    return Planned(**(facts | changes))  # type: ignore[arg-type] # the changes of each test fit


def worst_error(
    eta: Eta, events: list[Timed], first_s: float = 0.0, until: float = 0.95, since: float = 0.1, moments: int = 400
) -> float:
    """The largest relative error of the remaining time, from a tenth to 95 % of the wall time after `first_s`."""
    end, waiting, worst = events[-1][0], list(events), 0.0
    for moment in range(moments):
        now = first_s + (end - first_s) * moment / moments
        while waiting and waiting[0][0] <= now:
            at, event = waiting.pop(0)
            eta.event(event, at)
        if since <= moment / moments <= until:
            remaining = eta.remaining_s(now)
            assert remaining is not None
            worst = max(worst, abs(remaining - (end - now)) / (end - now))
    for at, event in waiting:
        eta.event(event, at)
    assert eta.remaining_s(end) == 0
    assert eta.epochs_done == eta.epochs_to_do
    return worst


UNEQUAL = {"fast": Cost(epoch_s=0.3), "middle": Cost(), "slow": Cost(epoch_s=3.0)}
PRETRAINED = {"xavier": Cost(), "dbn": Cost(init_s=50.0, init_steps=20)}
SILENT = {"xavier": Cost(), "orthogonal": Cost(init_s=20.0)}  # takes long, and says nothing of it
DIVERGING = {"he": Cost(), "normal": Cost(epochs=0), "xavier": Cost()}
CASES = {"uniform": {"he": Cost()}, "unequal": UNEQUAL, "pretrained": PRETRAINED, "diverging": DIVERGING}


@pytest.mark.parametrize("gap_s", [0.0, 0.5], ids=["", "gaps"])
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("costs", CASES.values(), ids=CASES)
def test_after_a_tenth_the_remaining_time_is_right_within_20_percent(
    costs: dict[str, Cost], workers: int, gap_s: float
) -> None:
    seeds = 36 // len(costs)
    events = simulated(costs, seeds, workers, gap_s)
    assert worst_error(Eta(planned(tuple(costs) * seeds, workers)), events) < 0.2


@pytest.mark.parametrize(("workers", "known_from"), [(1, 0.1), (4, 0.15)])
def test_an_initialization_that_says_nothing_is_known_from_the_first_that_ended(
    workers: int, known_from: float
) -> None:
    events = simulated(SILENT, 20, workers, 0.0)
    assert worst_error(Eta(planned(tuple(SILENT) * 20, workers)), events, since=known_from) < 0.2


@pytest.mark.parametrize("workers", [1, 4])
def test_an_initialization_that_says_nothing_is_known_from_the_calibration(workers: int) -> None:
    events = simulated(SILENT, 20, workers, 0.0)
    calibrated = {"init_s": {"xavier": 0.1, "orthogonal": 22.0}, "train_s": 9.0}
    assert worst_error(Eta(planned(tuple(SILENT) * 20, workers, **calibrated)), events) < 0.2


def test_workers_that_start_do_not_count() -> None:
    events = simulated(UNEQUAL, 12, 2, 0.0, start_s=100.0)
    assert worst_error(Eta(planned(tuple(UNEQUAL) * 12, 2)), events, first_s=100.0) < 0.2


def test_without_labels_in_the_plan_all_runs_cost_the_mean() -> None:
    events = simulated(UNEQUAL, 20, 2, 0.0)
    assert worst_error(Eta(planned((), 2, runs=60)), events, until=0.8) < 0.25


def test_results_that_come_alone_will_do() -> None:
    costs = {"he": Cost(), "xavier": Cost(init_s=2.0)}
    events = [timed for timed in simulated(costs, 30, 4, 0.1) if isinstance(timed[1], RunDone)]
    assert worst_error(Eta(planned(tuple(costs) * 30, 4)), events) < 0.2


def test_more_workers_than_planned_are_noticed() -> None:
    events = [timed for timed in simulated({"he": Cost()}, 80, 8, 0.0) if isinstance(timed[1], RunDone)]
    eta, end = Eta(planned(("he",) * 80, 2)), events[-1][0]
    for between in range(15, 95, 10):  # ten rounds of eight results at nearly the same time
        while events and events[0][0] <= between:
            at, event = events.pop(0)
            eta.event(event, at)
        assert eta.remaining_s(between) == pytest.approx(end - between, rel=0.05)


@pytest.mark.parametrize("amortized", [True, False])
@pytest.mark.parametrize("with_epochs", [True, False])
def test_a_stack_ends_its_runs_together(amortized: bool, with_epochs: bool) -> None:
    size, epoch_s, events = 8, 4.0, list[Timed]()
    share = 1 / size if amortized else 1.0
    for stack in range(12):
        began = stack * epoch_s * EPOCHS
        runs = [run_events("he", seed, Cost(epoch_s=epoch_s * share), lambda: 1.0) for seed in
                range(stack * size, (stack + 1) * size)]  # fmt: skip
        events += [
            (began + at / share, event)
            for run in runs
            for at, event in run
            if with_epochs or isinstance(event, RunDone)
        ]
    events.sort(key=lambda timed: timed[0])
    assert worst_error(Eta(planned(("he",) * 96, 1, engine="stacked")), events) < 0.2


def test_reused_runs_are_no_work() -> None:
    eta = Eta(planned(("he",) * 10, 1, runs=30, reused=20, expected_s=123.0))
    for seed in range(20):
        eta.event(RunDone("he", run_result("he", seed), reused=True), 0.1)
    assert (eta.epochs_done, eta.epochs_to_do) == (0, 10 * EPOCHS)
    assert eta.remaining_s(5.0) == 123.0
    assert worst_error(eta, simulated({"he": Cost()}, 10, 1, 0.0)) < 0.2


def test_before_the_first_sign_of_work_there_is_the_plan_or_nothing() -> None:
    assert Eta(planned(("he",), 1)).remaining_s(3.0) is None
    assert Eta(planned(("he",), 1, expected_s=60.0)).remaining_s(3.0) == 60.0


def test_the_calibration_counts_for_schemes_that_have_not_begun() -> None:
    eta = Eta(planned(("xavier", "dbn"), 1, init_s={"xavier": 0.0, "dbn": 50.0}, train_s=10.0, expected_s=70.0))
    events = run_events("xavier", 0, Cost(), lambda: 1.0)
    eta.event(*reversed(events[0]))
    assert eta.remaining_s(1.0) == pytest.approx(9 + 60)
    for at, event in events[1:]:
        eta.event(event, at)
    assert eta.remaining_s(12.0) == pytest.approx(58)


def test_a_run_that_begins_again_on_another_worker_gives_its_epochs_back() -> None:
    eta = Eta(planned(("he",) * 4, 1))
    for at, event in run_events("he", 0, Cost(), lambda: 1.0)[:5]:
        eta.event(event, at)
    assert eta.epochs_done == 5
    eta.event(run_events("he", 0, Cost(), lambda: 1.0)[0][1], 20.0)
    assert eta.epochs_done == 1


@pytest.mark.parametrize("engine", ["sequential", "stacked"])
def test_what_was_done_before_an_interruption_does_not_count_as_speed(engine: str) -> None:
    """A run of 10 epochs, of 10 s each, goes on after the 9th; another one has all of its 100 s before it."""
    eta = Eta(planned(("he", "he"), 1, engine=engine))
    rows = tuple(
        EpochRow(epoch=epoch, train_loss=1, train_accuracy=0.5, test_accuracy=0.5, seconds=10.0)
        for epoch in range(1, 11)
    )
    eta.event(Resumed("he-0", "he", 0, 9, rows[:9]), 0.0)
    eta.event(EpochDone("he-0", "he", 0, rows[9]), 10.0)
    done = run_result("he", 0, 0.5, init_s=0.0, train_s=100.0).model_copy(update={"run_id": "he-0", "history": rows})
    eta.event(RunDone("he", done, reused=False), 10.0)
    assert eta.remaining_s(10.0) == pytest.approx(100.0)


def test_it_counts_down_between_events_and_not_below_nothing() -> None:
    eta = Eta(planned(("he",), 1))
    eta.event(run_events("he", 0, Cost(), lambda: 1.0)[0][1], 1.0)
    assert eta.remaining_s(1.0) == pytest.approx(9)
    assert eta.remaining_s(4.0) == pytest.approx(6)
    assert eta.remaining_s(100.0) == 0.0


def test_runs_that_take_no_time_are_no_division_by_zero() -> None:
    eta = Eta(planned(("he",) * 3, 2))
    eta.event(RunDone("he", run_result("he", 0, init_s=0.0, train_s=0.0), reused=False), 0.0)
    assert eta.remaining_s(0.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "under 1 s"),
        (0.99, "under 1 s"),
        (1, "about 1 s"),
        (89.4, "about 89 s"),
        (90, "about 90 s"),
        (170, "about 170 s"),
        (179.6, "about 3 min"),
        (209, "about 3 min"),
        (89.4 * 60, "about 89 min"),
        (90 * 60, "about 1.5 h"),
        (36 * 3600, "about 36.0 h"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
