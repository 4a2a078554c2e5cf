"""One contract for all executors. The work is faked, so that only the executing is tested."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from initbench.errors import InitbenchError, StoreError
from initbench.events import Emit, Event, Notice
from initbench.execute import Executor, executor_for
from initbench.results import DatasetInfo, RunResult

EXECUTORS: dict[str, Callable[[], Executor]] = {"inline": lambda: executor_for(1), "processes": lambda: executor_for(2)}


@dataclass(frozen=True)
class FakeJob:
    seed: int
    deed: str = "finish"


def work(job: FakeJob, emit: Emit) -> RunResult:
    """Do what the job says; the result's run_id names the process."""
    emit(Notice(f"seed {job.seed}"))
    if job.deed == "chatter":  # more than a pipe holds
        for _ in range(5_000):
            emit(Notice("x" * 100))
    if job.deed == "raise":
        raise StoreError("disk full")
    if job.deed == "die":
        os._exit(9)
    info = DatasetInfo(name="fake", stand_in_for=None, train_size=1, test_size=1, sha256="")
    facts: dict[str, Any] = {"history": (), "test_accuracy": 0.5, "init_s": 0, "train_s": 0, "parameters": 0}
    return RunResult(
        run_id=str(os.getpid()),
        scheme="fake",
        seed=job.seed,
        status="done",
        device="cpu",
        config={},
        dataset=info,
        **facts,
    )


@pytest.fixture(params=EXECUTORS)
def execute(request: pytest.FixtureRequest) -> Executor:
    return EXECUTORS[request.param]()


def test_every_job_gets_its_own_result_and_its_events_arrive(execute: Executor) -> None:
    jobs, events = [FakeJob(seed) for seed in range(5)], list[Event]()
    done = list(execute(jobs, work, events.append))
    assert sorted(job.seed for job, _ in done) == [0, 1, 2, 3, 4]
    assert all(job.seed == result.seed for job, result in done)
    assert {event.text for event in events if isinstance(event, Notice)} == {f"seed {seed}" for seed in range(5)}


def test_an_error_ends_the_iteration_and_leaves_no_process(execute: Executor) -> None:
    with pytest.raises(StoreError, match="disk full"):
        list(execute([FakeJob(0, "raise"), *(FakeJob(seed) for seed in range(1, 4))], work, lambda event: None))
    assert not multiprocessing.active_children()


def test_an_error_in_the_callback_ends_the_iteration_too(execute: Executor) -> None:
    def refuse(event: Event) -> None:
        raise ValueError("no more events, please")

    with pytest.raises(ValueError, match="no more events"):
        list(execute([FakeJob(seed, "chatter") for seed in range(4)], work, refuse))
    assert not multiprocessing.active_children()


def test_the_callback_is_called_in_this_thread_only(execute: Executor) -> None:
    threads = set[int]()
    list(execute([FakeJob(seed) for seed in range(4)], work, lambda event: threads.add(threading.get_ident())))
    assert threads == {threading.get_ident()}


def test_closing_the_iterator_leaves_no_process(execute: Executor) -> None:
    running = execute([FakeJob(seed) for seed in range(4)], work, lambda event: None)
    next(running)
    running.close()  # type: ignore[attr-defined] # both executors are generators
    assert not multiprocessing.active_children()


def test_processes_are_others_than_this_one() -> None:
    done = list(executor_for(2)([FakeJob(0), FakeJob(1)], work, lambda event: None))
    assert str(os.getpid()) not in {result.run_id for _, result in done}


def test_a_worker_that_dies_is_one_clear_error() -> None:
    with pytest.raises(InitbenchError, match="a worker process died"):
        list(executor_for(2)([FakeJob(0, "die"), FakeJob(1)], work, lambda event: None))
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = """
import sys
from execute_jobs import Sleep, sleep
from initbench.execute import executor_for
if __name__ == "__main__":
    list(executor_for(2)([Sleep(sys.argv[1]), Sleep(sys.argv[1])], sleep, lambda event: None))
"""
    script = tmp_path / "parent.py"
    script.write_text(program)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment)
    workers = _wait_for(lambda: [int(file.name) for file in tmp_path.glob("[0-9]*")], 2)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_is_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_is_alive(worker) for worker in workers)


def _wait_for(find: Callable[[], list[int]], count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(found := find()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _is_alive(process: int) -> bool:
    """Say whether the process runs; one that has ended but was not reaped does not."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
