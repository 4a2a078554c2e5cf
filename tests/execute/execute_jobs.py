"""Tasks that do what they are told, in a module of its own: worker processes import it."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.errors import StoreError
from initbench.events import Emit, Notice
from initbench.plugins import Plugin, loaded_plugins


@dataclass(frozen=True)
class Task:
    """One task: what it does is `deed`, the name of a function below."""

    number: int
    deed: str = "finish"


@dataclass(frozen=True)
class Shared:
    """What all tasks are given; every process that unpickles it adds a line to the file `log`."""

    folder: str
    large: NDArray[np.uint8] = field(default_factory=lambda: np.arange(256, dtype=np.uint8))

    @property
    def log(self) -> Path:
        """Return the file."""
        return Path(self.folder, "unpickled")

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.folder, self.large)


def _unpickled(folder: str, large: NDArray[np.uint8]) -> Shared:
    shared = Shared(folder, large)
    append(shared.log, str(os.getpid()))
    return shared


class Result:
    """A result to which weak references can be held."""

    def __init__(self, number: int, sum_: int) -> None:
        self.number, self.sum, self.process = number, sum_, os.getpid()
        self.parent = os.getppid()  # of a Ray worker: its node's raylet


class AwkwardError(StoreError):
    """An exception that pickle cannot make anew."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(f"{folder}: {reason}")


def append(file: Path, line: str) -> None:
    """Add a line, whole, whoever else writes."""
    with file.open("a") as lines:
        lines.write(f"{line}\n")


def work(task: Task, shared: Shared, emit: Emit) -> Result:
    """Do what the task says."""
    emit(Notice(f"task {task.number}"))
    DEEDS[task.deed](task, shared, emit)
    return Result(task.number, int(shared.large.sum()))


def _chatter(task: Task, shared: Shared, emit: Emit) -> None:
    for _ in range(5_000):  # more than a pipe holds
        emit(Notice("x" * 100))


def _swallow(task: Task, shared: Shared, emit: Emit) -> None:
    try:
        emit(Notice("swallowed"))
    except ValueError:
        return


def _fail(task: Task, shared: Shared, emit: Emit) -> None:
    raise StoreError("disk full")


def _fail_awkwardly(task: Task, shared: Shared, emit: Emit) -> None:
    raise AwkwardError("runs", "disk full")


def _bug(task: Task, shared: Shared, emit: Emit) -> None:
    raise KeyError("a bug")


def _die(task: Task, shared: Shared, emit: Emit) -> None:
    append(Path(shared.folder, f"tries-{task.number}"), str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


def _die_once(task: Task, shared: Shared, emit: Emit) -> None:
    tries = Path(shared.folder, f"tries-{task.number}")
    append(tries, str(os.getpid()))
    if len(tries.read_text().splitlines()) == 1:
        os._exit(3)


def _exit(task: Task, shared: Shared, emit: Emit) -> None:
    sys.exit(7)


def _sleep(task: Task, shared: Shared, emit: Emit) -> None:
    Path(shared.folder, f"asleep-{os.getpid()}").touch()
    try:
        time.sleep(60)
    finally:
        Path(shared.folder, f"awake-{os.getpid()}").touch()


def _doze(task: Task, shared: Shared, emit: Emit) -> None:
    time.sleep(0.1)


def _meet(task: Task, shared: Shared, emit: Emit) -> None:
    """Wait for two other processes: there are never more than two on a node of two CPUs."""
    Path(shared.folder, f"met-{os.getpid()}").touch()
    wait_until(lambda: len(processes_in(Path(shared.folder), "met")) >= 3)


DEEDS = {
    "finish": lambda task, shared, emit: None,
    "chatter": _chatter,
    "swallow": _swallow,
    "fail": _fail,
    "fail awkwardly": _fail_awkwardly,
    "bug": _bug,
    "die": _die,
    "die once": _die_once,
    "exit": _exit,
    "sleep": _sleep,
    "doze": _doze,
    "meet": _meet,
}


class Explosive:
    """Something that ends the process which unpickles it, so many times."""

    def __init__(self, *fuses: Path) -> None:
        self.fuses = fuses
        for fuse in fuses:
            fuse.touch()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle_explosive, (self.fuses,)


def _unpickle_explosive(fuses: tuple[Path, ...]) -> int:
    for fuse in fuses:
        try:
            fuse.unlink()
        except FileNotFoundError:
            continue
        os._exit(5)
    return len(fuses)


class Slow:
    """Something that only one process unpickles within a minute. It becomes a 1."""

    def __init__(self, ticket: Path) -> None:
        self.ticket = ticket
        ticket.touch()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle_slowly, (self.ticket,)


def _unpickle_slowly(ticket: Path) -> int:
    try:
        ticket.unlink()
    except FileNotFoundError:
        time.sleep(60)
    return 1


def count_when_there(file: Path, task: int, shared: int, emit: Emit) -> int:
    """Wait for the file, then count."""
    wait_until(file.exists)
    return count(task, shared, emit)


def count(task: int, shared: int, emit: Emit) -> int:
    """Return a number that depends on both."""
    return task + shared


def plugins_here(task: Task, shared: Shared, emit: Emit) -> tuple[int, tuple[Plugin, ...]]:
    """Return this process and the plugins that are loaded in it."""
    return os.getpid(), loaded_plugins()


def memory_bytes(task: int, array: NDArray[np.uint8], emit: Emit) -> tuple[int, int]:
    """Return the array's sum, and then the anonymous memory of this process, which is what it does not share."""
    total = int(array.sum())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return total, int(status["RssAnon"].split()[0]) * 1024


def processes_in(folder: Path, state: str) -> list[int]:
    """Return the processes that have come to a point: "asleep", "awake" (from their sleep), "met"."""
    return [int(file.name.rpartition("-")[2]) for file in folder.glob(f"{state}-*")]


def wait_until(condition: Any, seconds: float = 60) -> None:
    """Wait until it is so; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    """Say whether the process runs; one that has ended but was not reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
