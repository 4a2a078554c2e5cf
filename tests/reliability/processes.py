"""initbench as processes of their own that a test may signal, kill and count, with or without the cost of an import.

`python -m initbench` takes seconds of a core to import torch. `start` forks from a process that has imported it, has
one thread and has computed nothing (multiprocessing's fork server), so that a command begins within milliseconds;
`real=True` starts `python -m initbench` itself. Either way the command leads a session of its own, by which all that it
leaves behind is found, and ends with the `with` block at the latest.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import io
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

PRELOADED = [  # what `run` and `compare` import
    "initbench.__main__",
    "initbench.bench",
    "initbench.cli.progress",
    "initbench.conformance",
    "initbench.report.as_csv",
    "initbench.report.as_json",
    "initbench.report.run_view",
    "initbench.report.terminal",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.datasets",
]
END_S = 60.0  # of anything that a test waits for
_FORK = multiprocessing.get_context("forkserver")


class _Process(Protocol):
    @property
    def pid(self) -> int: ...

    def ended(self, timeout: float) -> int | None: ...


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code (-9 where SIGKILL ended it), and what it printed."""

    code: int
    out: str
    err: str


class Command:
    """One command under way. `out` and `err` are what it has printed by now."""

    def __init__(self, process: _Process, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log

    @property
    def out(self) -> str:
        """Return what it has written to stdout."""
        return _read(self._log.with_suffix(".out"))

    @property
    def err(self) -> str:
        """Return what it has written to stderr."""
        return _read(self._log.with_suffix(".err"))

    @property
    def code(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.ended(0)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the command, not its children, a signal; one that has ended does not mind."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def wait(self, timeout: float = END_S) -> Ended:
        """Wait for its end; fails the test where that does not come."""
        code = self._process.ended(timeout)
        assert code is not None, f"still running after {timeout} s:\n{self.err}"
        return Ended(code, self.out, self.err)

    def descendants(self) -> list[int]:
        """Return the other living processes of its session, also after its own end."""
        return [pid for pid in _session(self.pid) if pid != self.pid]

    def left_behind(self, within_s: float = 2.0) -> list[int]:
        """Return which processes it leaves behind: those that are still there so long after its end."""
        deadline = time.monotonic() + within_s
        while (left := self.descendants()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave nothing running that this command started, nor itself."""
        for pid in _session(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.ended(END_S)


def start(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    *,
    real: bool = False,
    before: Callable[[], object] | None = None,
) -> Command:
    """Start `initbench ARGUMENTS` in the folder `cwd`; `env` adds to the environment.

    `before`, which must be picklable, is called first in the new process, to put something in the command's way.
    """
    log = _log_name(cwd)
    environment = {**os.environ, **(env or {})}
    if real:
        assert before is None, "a real process cannot be tampered with"
        return Command(_Started(arguments, cwd, environment, log), log)
    return Command(_Forked(arguments, cwd, environment, log, before), log)


def finish(arguments: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, *, real: bool = False) -> Ended:
    """Do `initbench ARGUMENTS` to its end."""
    with start(arguments, cwd, env, real=real) as command:
        return command.wait()


def wait_until(condition: Callable[[], object], seconds: float = END_S) -> None:
    """Wait until it is so; fails the test after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.005)


def dice_of(seed: int) -> random.Random:
    """Return what decides at which moments of a command something happens."""
    return random.Random(seed)  # noqa: S311 # moments, no secrets


def is_alive(pid: int) -> bool:
    """Say whether the process runs; one that has ended but was not reaped does not."""
    return _state(pid) is not None


class _Started:
    """`python -m initbench`, as a user starts it."""

    def __init__(self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            command = [sys.executable, "-m", "initbench", *arguments]
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def ended(self, timeout: float) -> int | None:
        """Return the exit code, None where it runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None


class _Forked:
    """The same program in a child of the fork server."""

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        before: Callable[[], object] | None,
    ) -> None:
        given = list(arguments), str(cwd), dict(environment), str(log), before
        self._process = _FORK.Process(target=_be_initbench, args=given)
        with _main_is("initbench.__main__"):
            start_server()
            self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def ended(self, timeout: float) -> int | None:
        """Return the exit code, None where it runs after so many seconds."""
        self._process.join(timeout)
        return self._process.exitcode


@functools.cache
def start_server() -> None:
    """Start the fork server, and wait until it has imported everything; who takes a command's time does so before."""
    _FORK.set_forkserver_preload(PRELOADED)
    first = _FORK.Process(target=os.getpid)
    first.start()
    first.join()


def _be_initbench(
    arguments: list[str], cwd: str, environment: dict[str, str], log: str, before: Callable[[], object] | None
) -> None:
    """Be `python -m initbench ARGUMENTS`: session, folder, environment, streams, signals, and how it ends."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        file = os.open(f"{log}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(open(2, "wb", 0, closefd=False), "utf-8", "backslashreplace", write_through=True)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    program = importlib.import_module("initbench.__main__")
    sys.modules["__main__"] = program
    sys.argv = [str(program.__file__), *arguments]
    try:
        if before:
            before()
        program.main()
    finally:
        atexit._run_exitfuncs()  # a child of the fork server ends without them


@contextlib.contextmanager
def _main_is(module: str) -> Iterator[None]:
    """Let this module be the program for a moment: a child of the fork server prepares itself as for its parent's."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = importlib.import_module(module)
    try:
        yield
    finally:
        sys.modules["__main__"] = before


_logs = 0


def _log_name(cwd: Path) -> Path:
    """Return where a command's output goes: beside the folder that it works in, never in it."""
    global _logs
    _logs += 1
    folder = cwd.parent / f"{cwd.name}-output"
    folder.mkdir(exist_ok=True)
    return folder / f"command-{os.getpid()}-{_logs}"


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def _session(leader: int) -> list[int]:
    """Return the living processes of the session that `leader` leads or led."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if (state := _state(pid)) is not None and state[3] == str(leader)]


def _state(pid: int) -> list[str] | None:
    """Return state, parent, group, session, ... of a process; None where it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields
