"""One contract for all executors, and a Ray cluster of two nodes, one of which is killed. The tasks are fakes."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from execute_jobs import Result, Shared, Task, is_alive, plugins_here, processes_in, wait_until, work

from initbench import events
from initbench.errors import InitbenchError, StoreError, UsageError
from initbench.events import Event, Notice
from initbench.execute import Executor, Lost, executor_for, executors
from initbench.plugins import load_plugins, loaded_plugins

EXECUTORS = [
    "inline",
    "processes",
    pytest.param("ray", marks=pytest.mark.xdist_group("ray")),
]
pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc"),
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),  # JAX's, where a test imported it; Ray forks to exec
]
SOON = pytest.mark.usefixtures("forked_workers")  # what is tested comes after the start


@pytest.fixture(params=EXECUTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def execute(name: str, request: pytest.FixtureRequest) -> Executor:
    if name == "ray":
        address = request.getfixturevalue("cluster").address
        import ray

        if not ray.is_initialized():  # once: to connect anew takes a second, and workers anew
            ray.init(address=address, log_to_driver=False, logging_level="critical")
    return executor_for(name, 2)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(str(tmp_path))


def tasks_of(count: int, **deeds: str) -> list[Task]:
    """Return tasks that finish, but for those whose deed is given: `_3="fail"`."""
    return [Task(number, deeds.get(f"_{number}", "finish")) for number in range(count)]


def test_each_executor_is_in_the_table() -> None:
    assert set(executors) == {"inline", "processes", "ray"}


def test_every_task_gets_its_own_result_once_and_each_worker_what_is_shared_once(
    execute: Executor, name: str, shared: Shared
) -> None:
    results = dict(execute(tasks_of(30)[::-1], work, shared, events.ignore))
    done = [(task, result.number, result.sum) for task, result in results.items()]
    expected_sum = 255 * 256 // 2
    assert sorted(done, key=lambda entry: entry[1]) == [(Task(n), n, expected_sum) for n in range(30)]
    processes = {result.process for result in results.values()}
    openings = shared.log.read_text().split() if shared.log.exists() else []
    assert len(openings) == len(set(openings))
    assert processes == {os.getpid()} if name == "inline" else os.getpid() not in processes
    assert processes <= set(map(int, openings)) if name != "inline" else not openings


def test_no_tasks_no_results(execute: Executor, shared: Shared) -> None:
    assert list(execute([], work, shared, events.ignore)) == []


@SOON
def test_events_come_in_this_thread_while_the_next_pair_is_asked_for_and_before_the_result(
    execute: Executor, shared: Shared
) -> None:
    seen, asking = list[str](), False

    def emit(event: Event) -> None:
        assert asking
        assert threading.current_thread() is threading.main_thread()
        assert isinstance(event, Notice)
        seen.append(event.text)

    running = execute(tasks_of(6, _4="chatter"), work, shared, emit)
    while True:
        asking = True
        pair = next(running, None)
        asking = False
        if pair is None:
            break
        seen.append(f"result {pair[0].number}")
    assert len(seen) == len(set(seen)) + 4_999 == 6 + 6 + 5_000
    assert all(seen.index(f"task {number}") < seen.index(f"result {number}") for number in range(6))


@SOON
@pytest.mark.parametrize(
    ("deed", "kind", "message"), [("fail", StoreError, "disk full"), ("bug", KeyError, "a bug")], ids=["error", "bug"]
)
def test_an_exception_is_raised_here_as_it_was_and_ends_everything(
    execute: Executor, name: str, shared: Shared, deed: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        list(execute(tasks_of(4, _2=deed), work, shared, events.ignore))
    assert caught.type is kind
    if name != "inline":
        assert any("execute_jobs.py" in note for note in caught.value.__notes__)
    if name == "processes":  # Ray keeps its idle workers
        assert not any(map(is_alive, map(int, shared.log.read_text().split())))


@SOON
def test_an_exception_that_cannot_be_pickled_stays_one_clear_error(execute: Executor, shared: Shared) -> None:
    with pytest.raises(InitbenchError, match="runs: disk full"):
        list(execute(tasks_of(2, _1="fail awkwardly"), work, shared, events.ignore))


@SOON
@pytest.mark.parametrize("deed", ["chatter", "swallow"])
def test_an_exception_in_the_callback_ends_the_iteration_too(execute: Executor, shared: Shared, deed: str) -> None:
    def refuse(event: Event) -> None:
        if not (isinstance(event, Notice) and event.text.startswith("task") and deed == "swallow"):
            raise ValueError("no more events, please")

    with pytest.raises(ValueError, match="no more events"):
        list(execute(tasks_of(4, _0=deed), work, shared, refuse))


@pytest.mark.parametrize("end", ["close", "raise", "callback"])
def test_after_the_end_nobody_goes_on_computing(
    execute: Executor, name: str, shared: Shared, tmp_path: Path, end: str
) -> None:
    if name == "inline":
        pytest.skip("a task in this process is over when this test goes on")

    def emit(event: Event) -> None:
        if isinstance(event, Notice) and event.text == "task 2" and end == "callback":
            raise ValueError("stop")

    running = execute(tasks_of(4, _1="sleep", _2="fail" if end == "raise" else "doze"), work, shared, emit)
    assert next(running)[0].number == 0
    wait_until(lambda: processes_in(tmp_path, "asleep"))
    if end == "close":
        running.close()
    else:
        with pytest.raises((StoreError, ValueError)):
            list(running)
    if name == "ray":  # which cancels in the background
        wait_until(lambda: not any(map(is_alive, processes_in(tmp_path, "asleep"))), seconds=10)
    assert not any(map(is_alive, processes_in(tmp_path, "asleep")))


def test_a_worker_that_dies_costs_only_its_own_task_and_only_if_it_dies_again(
    execute: Executor, name: str, shared: Shared, tmp_path: Path
) -> None:
    if name == "inline":
        pytest.skip("its worker is this process")
    deeds = {"_0": "die once", "_3": "die"}
    if name == "processes":  # four tries take Ray five seconds; one way to die will do
        deeds["_5"] = "exit"
    done = dict(execute(tasks_of(8, **deeds), work, shared, events.ignore))
    lost = {task.deed: done.pop(task).reason for task, result in list(done.items()) if isinstance(result, Lost)}
    reasons = {"processes": {"die": "SIGKILL", "exit": "exit code 7"}, "ray": {"die": "WorkerCrashed"}}[name]
    assert lost.keys() == reasons.keys()
    assert all(reason in lost[deed] for deed, reason in reasons.items())
    assert {result.number for result in done.values()} == {0, 1, 2, 3, 4, 5, 6, 7} - {int(key[1:]) for key in deeds} | {
        0
    }
    tries = (tmp_path / "tries-3").read_text().split()
    assert len(tries) == len(set(tries)) == {"processes": 2, "ray": 4}[name]
    assert len((tmp_path / "tries-0").read_text().split()) == 2


@SOON
def test_results_are_not_kept(execute: Executor, shared: Shared) -> None:
    running, earlier = execute(tasks_of(150), work, shared, events.ignore), list[Callable[[], object]]()
    while (pair := next(running, None)) is not None:
        earlier.append(weakref.ref(pair[1]))
        del pair
        assert earlier[-1]() is None
    assert len(earlier) == 150


@SOON
def test_plugins_are_loaded_where_the_work_is_done(execute: Executor, shared: Shared, tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text("ANSWER = 42\n")
    load_plugins([plugin])
    done = [result for _, result in execute(tasks_of(4), plugins_here, shared, events.ignore)]
    assert [result[1] for result in done if not isinstance(result, Lost)] == [loaded_plugins()] * 4


@SOON
def test_a_plugin_that_was_edited_ends_everything(execute: Executor, name: str, shared: Shared, tmp_path: Path) -> None:
    if name == "inline":
        pytest.skip("loads no plugin anew")
    plugin = tmp_path / "own.py"
    plugin.write_text("ANSWER = 42\n")
    load_plugins([plugin])
    plugin.write_text("ANSWER = 43\n")
    with pytest.raises(UsageError, match="was edited"):
        list(execute(tasks_of(4), plugins_here, shared, events.ignore))


@pytest.mark.xdist_group("ray")
def test_a_node_that_is_killed_takes_no_result_with_it(
    cluster: Any, shared: Shared, capfd: pytest.CaptureFixture[str]
) -> None:
    import ray

    ray.shutdown()
    capfd.readouterr()  # what the test's own connection had to say
    node = cluster.add_node(num_cpus=2)
    [raylet] = [each.process.pid for each in node.all_processes["raylet"]]
    tasks = [Task(number, "meet" if number < 4 else "doze") for number in range(60)]
    running, done = executor_for("ray", 1, cluster.address)(tasks, work, shared, events.ignore), list[int]()
    for task, result in running:
        assert isinstance(result, Result)
        assert result.number == task.number
        done.append(task.number)
        if result.parent == raylet and len(done) > 20 and node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)
    assert sorted(done) == list(range(60))
    assert node not in cluster.worker_nodes
    assert not ray.is_initialized()  # it was connected for the call
    assert cluster.head_node.any_processes_alive()
    assert capfd.readouterr().out == ""  # where the program's own result goes
