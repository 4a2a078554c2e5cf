"""Interrupted runs and comparisons go on where they were, and end as if nothing had happened."""

from __future__ import annotations

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
from initbench.results import Divergence, UnfinishedTask
from initbench.store import Store
from initbench.store.claims import stay
from initbench.store.opening import read_files
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


SELF_CONTRADICTIONS: dict[str, Callable[[UnfinishedTask], dict[str, Any]]] = {
    "steps": lambda task: {"steps": task.steps + 1},
    "fewer epochs than rows": lambda task: {
        "epoch": task.epoch - 1,
        "steps": task.steps // task.epoch * (task.epoch - 1),
    },
    "no rows": lambda task: {"runs": (task.runs[0].model_copy(update={"metrics": ""}),)},
    "deep rows": lambda task: {"runs": (task.runs[0].model_copy(update={"metrics": "[" * 100_000}),)},
    "two runs": lambda task: {"runs": task.runs * 2},
    "a replica that there is not": lambda task: {"ended": {9: Divergence(epoch=1, step=1)}},
    "all epochs": lambda task: {"epoch": EPOCHS},
}


@pytest.mark.parametrize("contradiction", SELF_CONTRADICTIONS)
def test_what_was_saved_and_contradicts_itself_is_not_gone_on_with(contradiction: str) -> None:
    """With a checksum that is right: of another's making."""
    whole = initbench.run(settings(), runs_dir="whole")
    with pytest.raises(KeyboardInterrupt):
        initbench.run(settings(), emit=stop_after(3))
    with stay(Path("runs")) as here:
        found = here.unfinished.load(whole.run_id)
        assert found is not None
        task, tensors = found
        here.unfinished.save(whole.run_id, task.model_copy(update=SELF_CONTRADICTIONS[contradiction](task)), tensors)
    events: list[Event] = []
    result = initbench.run(settings(), emit=events.append)
    [told] = notices(events)
    assert told.startswith("what was saved of xavier_uniform, seed 0 cannot be used (")
    assert (rows(result), files(result)) == (rows(whole), files(whole))


def test_a_stack_of_which_one_run_cannot_be_used_begins_anew_without_its_rows() -> None:
    config = settings(train={"engine": "stacked"})
    with pytest.raises(KeyboardInterrupt):
        initbench.compare(COMPARED, config=config, seeds=1, emit=stop_after(3))
    with stay(Path("runs")) as here:
        [name] = unfinished_tasks(Path("runs"))
        found = here.unfinished.load(name)
        assert found is not None
        task, tensors = found
        other = task.runs[1].model_copy(update={"run_id": "f" * 16})
        here.unfinished.save(name, task.model_copy(update={"runs": (task.runs[0], other)}), tensors)
    events: list[Event] = []
    comparison = initbench.compare(COMPARED, config=config, seeds=1, emit=events.append)
    assert "and its stack cannot be used" in notices(events)[0]
    for one in comparison.schemes:
        [run] = Store(Path("runs")).match(one.runs[0].run_id)
        assert isinstance(run, RunResult)
        assert [row.epoch for row in run.history] == list(range(1, EPOCHS + 1))


def test_another_name_for_the_same_run_goes_on_with_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        initbench.run({**settings(), "name": "mine"}, emit=stop_after(3))
    events: list[Event] = []
    initbench.run({**settings(), "init": "glorot_uniform"}, emit=events.append)
    assert resumed(events) == [(0, 3)]
    assert notices(events) == []


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
    assert row.split()[1:] == ["xavier_uniform", "digits", "0", "3", "of", "6", "unfinished", "-"]
    assert "unfinished" not in invoke(["runs", "list", "--format", "json"]).stdout
    removed = invoke(["runs", "remove", row.split()[0]])
    assert removed.stdout == f"removed what was kept of the unfinished run {row.split()[0]}\n"
    assert invoke(["runs", "list"]).stdout == "no runs in runs\n"
    assert isinstance(invoke(["runs", "remove", row.split()[0]]).exception, UsageError)


def test_that_another_config_is_another_run_goes_without_saying() -> None:
    initbench.run(settings())
    events: list[Event] = []
    initbench.run(settings(train={"lr": 0.002}), emit=events.append)
    assert notices(events) == []


@pytest.mark.parametrize("other_finishes", [True, False])
def test_a_run_that_another_process_has_claimed_is_waited_for(other_finishes: bool) -> None:
    """What it finishes is taken over; what it gives up is trained here."""
    comparison = partial(initbench.compare, COMPARED, config=settings(), seeds=2)
    whole = comparison(runs_dir="whole")
    theirs = Store(Path("whole")).match(whole.schemes[1].runs[1].run_id)[0]
    assert isinstance(theirs, RunResult)
    events: list[Event] = []
    with stay(Path("runs")) as other:
        assert other.claim(theirs.run_id)

        def emit(event: Event) -> None:
            events.append(event)
            if isinstance(event, Notice):
                if other_finishes:
                    folder = Path(theirs.run_dir or "")
                    Store(Path("runs")).keep_all([(folder.name, theirs, read_files(folder))], other)
                other.release(theirs.run_id)

        again = comparison(emit=emit)
    assert notices(events) == ["waiting for 1 run that another process trains in this runs folder."]
    ended = {event.result.run_id: event.reused for event in events if isinstance(event, RunDone)}
    assert ended == {
        run.run_id: other_finishes and run.run_id == theirs.run_id for one in whole.schemes for run in one.runs
    }
    assert again.reused == other_finishes
    assert [one.mean for one in again.schemes] == [one.mean for one in whole.schemes]
