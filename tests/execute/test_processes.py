"""Worker processes: how they start, obey signals, and end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from execute_jobs import (
    Explosive,
    Shared,
    Slow,
    Task,
    count,
    count_when_there,
    is_alive,
    processes_in,
    wait_until,
    work,
)

from initbench import events
from initbench.errors import InitbenchError
from initbench.events import Event, Notice
from initbench.execute import executor_for

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
UNGUARDED = """
from execute_jobs import count
from initbench.execute import executor_for
list(executor_for("processes", 2)([1, 2], count, 3, print))
"""
PARENT = """
import sys
from execute_jobs import Shared, Task, work
from initbench.execute import executor_for
if __name__ == "__main__":
    list(executor_for("processes", 2)([Task(0, "sleep"), Task(1, "sleep")], work, Shared(sys.argv[1]), lambda _: None))
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}


def test_where_one_worker_dies_at_its_start_the_others_go_on(tmp_path: Path) -> None:
    heard = list[Event]()

    def emit(event: Event) -> None:
        heard.append(event)
        (tmp_path / "heard").touch()

    work = partial(count_when_there, tmp_path / "heard")
    done = executor_for("processes", 2)(range(5), work, Explosive(tmp_path / "fuse"), emit)
    assert sorted(done) == [(number, number + 1) for number in range(5)]  # an Explosive of one fuse becomes a 1
    assert [event.text for event in heard if isinstance(event, Notice)] == [
        "A worker process died at its start (out of memory?); going on with 1."
    ]


def test_the_end_does_not_wait_for_a_worker_that_is_still_starting(tmp_path: Path) -> None:
    running = executor_for("processes", 2)(range(3), count, Slow(tmp_path / "first"), events.ignore)
    started = time.monotonic()
    assert sorted(running) == [(0, 1), (1, 2), (2, 3)]
    assert time.monotonic() - started < 30


def test_where_all_workers_die_at_their_start_it_is_one_clear_error(tmp_path: Path) -> None:
    explosive = Explosive(tmp_path / "fuse", tmp_path / "other")
    with pytest.raises(InitbenchError, match="ended with exit code 5 before it was ready"):
        list(executor_for("processes", 2)(range(5), count, explosive, events.ignore))


def test_a_script_without_the_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    ended = subprocess.run([sys.executable, script], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert 'under `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]


def test_workers_leave_ctrl_c_to_their_parent_and_clean_up_when_they_are_ended(tmp_path: Path) -> None:
    running = executor_for("processes", 2)([Task(0), Task(1, "sleep")], work, Shared(str(tmp_path)), events.ignore)
    next(running)
    wait_until(lambda: processes_in(tmp_path, "asleep"))
    [sleeper] = processes_in(tmp_path, "asleep")
    os.kill(sleeper, signal.SIGINT)
    time.sleep(0.2)
    assert is_alive(sleeper)
    running.close()
    assert not is_alive(sleeper)
    assert processes_in(tmp_path, "awake") == [sleeper]


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script, tmp_path], env=ENVIRONMENT)
    wait_until(lambda: len(processes_in(tmp_path, "asleep")) == 2)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(map(is_alive, processes_in(tmp_path, "asleep"))), seconds=20)
