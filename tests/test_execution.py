"""One plan executed in other ways gives the same table to the bit; a lost worker costs its own run; engines agree."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_settings import tiny, without_times
from safetensors.torch import load_file

import initbench
from initbench import bench, execution, work
from initbench.events import Emit, EpochDone, Planned, RunDone
from initbench.execute import Lost
from initbench.merging import merge
from initbench.results import Comparison, DatasetInfo
from initbench.store import Store

SCHEMES = ["xavier", "he", "normal:std=0.01"]
SETTINGS: dict[str, Any] = {"config": tiny(), "seeds": 2}


def in_shards(runs_dir: Path, request: pytest.FixtureRequest) -> Comparison:
    places = [runs_dir.parent / f"shard{part}" for part in (1, 2, 3, 4)]
    for part, place in enumerate(places, start=1):
        bench.train_shard(SCHEMES, **SETTINGS, shard=(part, 4), runs_dir=place)
    merge(places, Store(runs_dir))
    comparison = initbench.compare(SCHEMES, **SETTINGS, runs_dir=runs_dir)
    assert comparison.reused == 6
    return comparison


def on_ray(runs_dir: Path, request: pytest.FixtureRequest) -> Comparison:
    address = request.getfixturevalue("cluster").address
    return initbench.compare(SCHEMES, **SETTINGS, jobs=2, executor="ray", ray_address=address, runs_dir=runs_dir)


@pytest.fixture(scope="module")
def inline_table() -> dict[str, Any]:
    return without_times(initbench.compare(SCHEMES, **SETTINGS, runs_dir=None))


@pytest.mark.parametrize(
    "way",
    [
        in_shards,
        pytest.param(
            on_ray,
            marks=[
                pytest.mark.xdist_group("ray"),
                pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),  # JAX's, where other tests imported it
            ],
        ),
    ],
    ids=["shards", "ray"],
)
def test_every_way_of_execution_gives_the_same_table_to_the_bit(
    way: Any, inline_table: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert without_times(way(tmp_path / "runs", request)) == inline_table
    weights = {folder.name: load_file(folder / "weights.safetensors") for folder in (tmp_path / "runs").glob("[!.]*")}
    initbench.compare(SCHEMES, **SETTINGS, runs_dir=tmp_path / "alone")
    for name, tensors in weights.items():
        for key, alone in load_file(tmp_path / "alone" / name / "weights.safetensors").items():
            assert torch.equal(tensors[key], alone)
    assert len(weights) == 6


@pytest.mark.parametrize("parts", [1, 2, 4, 9])
def test_shards_are_even_blocks_of_the_plan_and_together_the_whole(parts: int, tmp_path: Path) -> None:
    shards = [bench.expect(SCHEMES, **SETTINGS, shard=(part, parts), runs_dir=None) for part in range(1, parts + 1)]
    sizes = [planned.runs for planned in shards]
    assert sum(sizes) == 6
    assert max(sizes) - min(sizes) <= 1
    assert [label for planned in shards for label in planned.labels] == list(
        bench.expect(SCHEMES, **SETTINGS, runs_dir=None).labels
    )


def test_a_shard_without_runs_trains_none(tmp_path: Path) -> None:
    assert bench.train_shard(["he"], config=tiny(), seeds=1, shard=(1, 2), runs_dir=tmp_path) == []


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (-1, 2)])
def test_shards_that_do_not_exist(shard: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(initbench.UsageError, match=r"shard=.*k from 1 to n"):
        bench.train_shard(["he"], config=tiny(), seeds=1, shard=shard, runs_dir=tmp_path)


def test_a_lost_worker_is_a_failed_run_beside_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def executor_for(name: str, workers: int, address: str | None) -> Any:
        def execute(tasks: Sequence[work.Task], do: Any, shared: Any, emit: Emit) -> Iterator[tuple[work.Task, Any]]:
            for number, task in enumerate(tasks):
                yield task, Lost("killed by signal 9") if number == 1 else do(task, shared, emit)

        return execute

    monkeypatch.setattr(execution, "executor_for", executor_for)
    comparison = initbench.compare(["xavier", "he"], config=tiny(), seeds=2, runs_dir=tmp_path)
    assert [(row.n, row.failed) for row in comparison.schemes] == [(2, 0), (1, 1)]
    [failed] = [run for run in comparison.schemes[1].runs if run.status == "failed"]
    [folder] = tmp_path.glob(f"*{failed.run_id}")
    assert json.loads((folder / "result.json").read_text())["error"] == "killed by signal 9"


def test_expect_says_what_would_be_done_and_does_none_of_it(tmp_path: Path) -> None:
    initbench.compare(["he"], config=tiny(), seeds=2, runs_dir=tmp_path)
    events: list[Any] = []
    planned = bench.expect(["he", "xavier"], config=tiny(), seeds=3, runs_dir=tmp_path, jobs=2, emit=events.append)
    assert (planned.runs, planned.reused, planned.labels) == (6, 2, ("xavier", "xavier", "he", "xavier"))
    assert (planned.executor, planned.workers, planned.engine) == ("processes", 2, "sequential")
    assert planned.expected_s is not None
    assert planned.expected_s > 0
    assert events == []
    assert len(list(tmp_path.glob("[!.]*"))) == 2


def test_a_short_comparison_is_not_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    initbench.compare(["he"], config=tiny(), seeds=1, runs_dir=None, emit=events.append)
    [planned] = [event for event in events if isinstance(event, Planned)]
    assert planned.expected_s is None
    monkeypatch.setattr(execution, "WORTH_CALIBRATING", 400)
    initbench.compare(["he"], config=tiny(), seeds=1, runs_dir=None, emit=events.append)
    assert events[-1].result.status == "done"
    assert [event.expected_s is None for event in events if isinstance(event, Planned)] == [True, False]


def test_a_stack_gives_what_the_runs_give_one_by_one_up_to_rounding() -> None:
    def runs(**options: Any) -> tuple[dict[tuple[str, int], Any], list[Any]]:
        events: list[Any] = []
        initbench.compare(SCHEMES, seeds=2, runs_dir=None, emit=events.append, **options)
        done = [event for event in events if isinstance(event, RunDone)]
        return {(event.label, event.result.seed): event.result for event in done}, events

    stacked, events = runs(config=tiny(train={"engine": "stacked"}), stack=4)
    alone, _ = runs(config=tiny())
    assert next(event for event in events if isinstance(event, Planned)).engine == "stacked"
    assert stacked.keys() == alone.keys()
    for key, run in stacked.items():
        assert run.run_id != alone[key].run_id
        for row, reference in zip(run.history, alone[key].history, strict=True):
            assert row.train_loss == pytest.approx(reference.train_loss, rel=1e-4)
            assert row.test_accuracy == pytest.approx(reference.test_accuracy, abs=0.011)


def test_what_cannot_be_stacked_is_refused_before_any_training() -> None:
    with pytest.raises(initbench.UsageError, match=r"train\.engine stacked: signals .*train\.engine=sequential"):
        initbench.run(tiny(train={"engine": "stacked", "signals": 1}), runs_dir=None)


def test_replicas_of_one_shape_are_stacked_and_others_are_not() -> None:
    jobs = [job(engine, lr) for engine, lr in [("stacked", 0.1)] * 5 + [("sequential", 0.1)] * 2]
    jobs.append(job("stacked", 0.2))
    jobs.append(job("stacked", 0.3))
    assert [len(task) for task in work.tasks_of(jobs, 2)] == [1, 2, 2, 1, 1, 2]
    assert [len(task) for task in work.tasks_of(jobs, None)] == [5, 1, 1, 2]
    wider = job("stacked", 0.1, hidden=[8])
    assert [len(task) for task in work.tasks_of([*jobs[:2], wider], None)] == [2, 1]


def job(engine: Any, lr: float, hidden: Sequence[int] = (16,)) -> work.Job:
    config = initbench.make_config(tiny(train={"lr": lr}, model={"hidden": list(hidden)}))
    info = DatasetInfo(name="digits", stand_in_for=None, train_size=9, test_size=9, sha256="a" * 64)
    return work.Job("he", config, "cpu", engine, info, "0" * 16)


@pytest.mark.usefixtures("forked_workers")
def test_a_disk_error_ends_the_workers_and_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real, kept = Store.keep_all, list[str]()

    def keep_all(store: Store, *runs: Any) -> Any:
        if kept:
            raise initbench.StoreError("disk full")
        kept.append("one")
        return real(store, *runs)

    monkeypatch.setattr(Store, "keep_all", keep_all)
    with pytest.raises(initbench.StoreError, match="disk full"):
        initbench.compare(["xavier", "he"], config=tiny(), seeds=3, jobs=2, runs_dir=tmp_path)
    assert multiprocessing.active_children() == []


def test_a_run_is_told_before_the_next_one_begins() -> None:
    """What the estimate of the remaining time counts on."""
    told: list[str] = []

    def note(event: Any) -> None:
        if isinstance(event, EpochDone):
            told.append(f"{event.label} {event.seed}")
        elif isinstance(event, RunDone):
            told.append(f"{event.label} {event.result.seed} done")

    initbench.compare(["xavier", "he"], config=tiny(), seeds=2, emit=note)
    assert told == [line for run in ("xavier 0", "he 0", "xavier 1", "he 1") for line in (run, run, f"{run} done")]


def test_an_unknown_executor_is_refused_before_any_work() -> None:
    with pytest.raises(initbench.UsageError, match=r"unknown executor 'proceses'\. Did you mean 'processes'"):
        initbench.compare(["he"], config=tiny(), executor="proceses")


def test_stack_without_stacking_is_refused() -> None:
    with pytest.raises(initbench.UsageError, match=r"stack=4: runs are trained one by one.*train\.engine=stacked"):
        initbench.compare(["he"], config=tiny(), stack=4, runs_dir=None)


def test_each_worker_gets_a_stack() -> None:
    stacked = tiny(train={"engine": "stacked"})
    assert bench.expect(["he", "xavier"], config=stacked, seeds=3, jobs=2, runs_dir=None).workers == 2
    assert bench.expect(["he", "xavier"], config=stacked, seeds=3, runs_dir=None).workers == 1
