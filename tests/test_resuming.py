"""Interrupted runs and comparisons go on where they were, and end as if nothing had happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bench_settings import tiny
from typer.testing import CliRunner

import initbench
from initbench import RunResult, UsageError
from initbench import identity as identities
from initbench.cli.app import app
from initbench.events import Emit, EpochDone, Event, Notice, Resumed, RunDone
from initbench.store import Store
from initbench.store.unfinished import FOLDER, unfinished_tasks
from initbench.work import saving

EPOCHS = 6
COMPARED = ["xavier", "he"]


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save every epoch, however short it is."""
    monkeypatch.setattr(saving, "SHARE", 1.0)


def settings(**sections: Any) -> dict[str, Any]:
    return tiny(**{"train": {"epochs": EPOCHS, **sections.pop("train", {})}, **sections})


def stop_after(epoch: int, runs: int = 1) -> Emit:
    """Return what interrupts, as Ctrl-C would, when `runs` runs have told of this epoch; its save comes before."""
    told: list[int] = []

    def emit(event: Event) -> None:
        if isinstance(event, EpochDone) and event.row.epoch == epoch + 1:
            told.append(epoch)
            if len(told) == runs:
                raise KeyboardInterrupt

    return emit


def files(result: RunResult) -> dict[str, bytes]:
    folder = Path(result.run_dir or "")
    return {name: (folder / name).read_bytes() for name in ("weights.safetensors", "config.yaml", "identity.json")}


def rows(result: RunResult) -> list[dict[str, Any]]:
    return [row.model_dump(exclude={"seconds"}) for row in result.history]


def resumed(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.seed, event.epoch) for event in events if isinstance(event, Resumed)]


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("epoch", [1, 3, EPOCHS - 1])
@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"train": {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine", "signals": 2}},
        {"model": {"dropout": 0.2}},
    ],
    ids=["adam", "momentum, cosine, signals", "dropout"],
)
def test_a_run_goes_on_after_its_last_epoch_and_ends_with_the_same_bits(epoch: int, sections: dict[str, Any]) -> None:
    config = settings(**sections)
    whole = initbench.run(config, runs_dir="whole")
    with pytest.raises(KeyboardInterrupt):
        initbench.run(config, emit=stop_after(epoch))
    events: list[Event] = []
    result = initbench.run(config, emit=events.append)
    assert resumed(events) == [(0, epoch)]
    assert [event.row.epoch for event in events if isinstance(event, EpochDone)] == list(range(epoch + 1, EPOCHS + 1))
    assert rows(result) == rows(whole)
    assert files(result) == files(whole)
    metrics = [
        [
            line.rpartition(b'"seconds"')[0] or line
            for line in (Path(run.run_dir or "") / "metrics.jsonl").read_bytes().splitlines()
        ]
        for run in (result, whole)
    ]
    assert metrics[0] == metrics[1]
    assert (
        f'"resumed_after_epochs": [\n    {epoch}\n  ]' in (Path(result.run_dir or "") / "environment.json").read_text()
    )
    assert unfinished_tasks(Path("runs")) == {}


def test_it_may_be_interrupted_many_times() -> None:
    whole = initbench.run(settings(), runs_dir="whole")
    for epoch in range(1, EPOCHS):
        with pytest.raises(KeyboardInterrupt):
            initbench.run(settings(), emit=stop_after(epoch))
    result = initbench.run(settings())
    assert files(result) == files(whole)
    assert rows(result) == rows(whole)
    assert result.train_s > result.history[-1].seconds


@pytest.mark.parametrize("engine", ["sequential", "stacked"])
def test_a_comparison_repeats_no_finished_run_and_goes_on_with_the_others(engine: str) -> None:
    """Interrupted in the third of four runs, one by one; in the fourth epoch of all four, in a stack."""
    config = settings(train={"engine": engine})
    whole = initbench.compare(COMPARED, config=config, seeds=2, runs_dir="whole")
    with pytest.raises(KeyboardInterrupt):
        initbench.compare(COMPARED, config=config, seeds=2, emit=stop_after(3, runs=3 if engine == "sequential" else 1))
    events: list[Event] = []
    again = initbench.compare(COMPARED, config=config, seeds=2, emit=events.append)
    reused = [event.result.seed for event in events if isinstance(event, RunDone) and event.reused]
    assert reused == ([0, 0] if engine == "sequential" else [])
    assert resumed(events) == ([(1, 3)] if engine == "sequential" else [(0, 3), (0, 3), (1, 3), (1, 3)])
    assert [run.test_accuracy for one in again.schemes for run in one.runs] == [
        run.test_accuracy for one in whole.schemes for run in one.runs
    ]
    for run in Store(Path("runs")).runs():
        assert isinstance(run, RunResult)
        assert files(run) == files(
            run.model_copy(update={"run_dir": str(Path("whole") / Path(run.run_dir or "").name)})
        )


def test_fresh_trains_from_the_beginning() -> None:
    with pytest.raises(KeyboardInterrupt):
        initbench.run(settings(), emit=stop_after(3))
    events: list[Event] = []
    initbench.run(settings(), fresh=True, emit=events.append)
    assert resumed(events) == []
    assert len([event for event in events if isinstance(event, EpochDone)]) == EPOCHS


def test_an_initialization_that_took_long_is_kept_before_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "WORTH_SAVING_S", 0.0)
    config = settings(init="lsuv")
    whole = initbench.run(config, runs_dir="whole")
    with pytest.raises(KeyboardInterrupt):
        initbench.run(config, emit=stop_after(0))
    events: list[Event] = []
    result = initbench.run(config, emit=events.append)
    assert resumed(events) == [(0, 0)]
    assert files(result) == files(whole)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "of another run"])
def test_what_was_saved_and_is_damaged_is_not_gone_on_with(damage: str) -> None:
    whole = initbench.run(settings(), runs_dir="whole")
    with pytest.raises(KeyboardInterrupt):
        initbench.run(settings(), emit=stop_after(3))
    [file] = (Path("runs") / FOLDER).iterdir()
    content = file.read_bytes()
    if damage == "of another run":
        with pytest.raises(KeyboardInterrupt):
            initbench.run({**settings(), "seed": 1}, emit=stop_after(3))
        [other] = set((Path("runs") / FOLDER).iterdir()) - {file}
        content = other.read_bytes()
    changed = {"flipped": content[:-9] + bytes([content[-9] ^ 16]) + content[-8:], "cut": content[:-1], "empty": b""}
    file.write_bytes(changed.get(damage, content))
    events: list[Event] = []
    result = initbench.run(settings(), emit=events.append)
    assert any("cannot be used" in text and "from the beginning" in text for text in notices(events))
    assert resumed(events) == []
    assert files(result) == files(whole)


CHANGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], dict[str, Any]], str]] = {
    "config": (lambda patch: {"train": {"epochs": EPOCHS, "lr": 0.002}}, "train.lr 0.01, now 0.002"),
    "torch": (lambda patch: patch.setattr("torch.__version__", "9.9") or {}, "now 9.9"),
    "code": (
        lambda patch: patch.setattr(identities, "package_revision", lambda: "edited") or {},
        "initbench's own code has changed",
    ),
    "schema": (lambda patch: patch.setattr(identities, "SCHEMA_VERSION", 2) or {}, "the schema of results 1, now 2"),
    "dataset": (lambda patch: {"data": {**tiny()["data"], "limit": 150}}, "other bytes of dataset digits"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_another_run_is_not_gone_on_with_and_says_why(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        initbench.run(settings(), emit=stop_after(3))
    make, reason = CHANGES[change]
    config = {**settings(), **make(monkeypatch)}
    events: list[Event] = []
    initbench.run(config, emit=events.append)
    assert resumed(events) == []
    [told] = [text for text in notices(events) if "is not continued" in text]
    assert "xavier_uniform, seed 0 (3 of 6 epochs)" in told
    assert reason in told
    assert len(unfinished_tasks(Path("runs"))) == 1  # it is still there


@pytest.mark.parametrize("change", ["torch", "code"])
def test_a_finished_run_of_other_versions_is_not_reused_and_says_why(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = initbench.run(settings())
    make, reason = CHANGES[change]
    make(monkeypatch)
    events: list[Event] = []
    assert initbench.run(settings(), emit=events.append).run_id != finished.run_id
    [told] = notices(events)
    assert f"the finished run {Path(finished.run_dir or '').name} is not reused" in told
    assert reason in told


def test_runs_list_shows_what_is_unfinished_and_remove_forgets_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        initbench.run(settings(), emit=stop_after(3))
    invoke = partial(CliRunner().invoke, app, env={"COLUMNS": "80"})
    row = invoke(["runs", "list"]).stdout.splitlines()[-1]
    assert row.split()[1:] == ["xavier_uniform", "-", "0", "3", "of", "6", "unfinished", "-"]
    assert "unfinished" not in invoke(["runs", "list", "--format", "json"]).stdout
    removed = invoke(["runs", "remove", row.split()[0]])
    assert removed.stdout.startswith("removed the unfinished run xavier_uniform-seed0-")
    assert invoke(["runs", "list"]).stdout == "no runs in runs\n"
    assert isinstance(invoke(["runs", "remove", row.split()[0]]).exception, UsageError)


def test_that_another_config_is_another_run_goes_without_saying() -> None:
    initbench.run(settings())
    events: list[Event] = []
    initbench.run(settings(train={"lr": 0.002}), emit=events.append)
    assert notices(events) == []


def test_two_that_compare_the_same_share_the_work() -> None:
    """Two threads, each with the locks that two processes would have; the second begins while the first trains."""
    told: list[list[Event]] = [[], []]
    begun = threading.Event()

    def compare(which: int) -> None:
        def emit(event: Event) -> None:
            told[which].append(event)
            begun.set()
            time.sleep(0.002)

        initbench.compare(COMPARED, config=settings(), seeds=4, emit=emit)

    threads = [threading.Thread(target=compare, args=(which,)) for which in (0, 1)]
    threads[0].start()
    begun.wait(30)
    threads[1].start()
    for thread in threads:
        thread.join(60)
    trained = [
        event.result.run_id for events in told for event in events if isinstance(event, RunDone) and not event.reused
    ]
    assert len(trained) == len(set(trained)) == 8
    assert all(len([event for event in events if isinstance(event, RunDone)]) == 8 for events in told)
