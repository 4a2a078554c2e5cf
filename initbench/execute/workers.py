"""A worker process of this machine: what it does, and what its parent sees of it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

from initbench.errors import InitbenchError
from initbench.events import Emit, Event
from initbench.execute.messages import Ready, Told, outcome, pack, raised
from initbench.execute.sharing import Shared
from initbench.plugins import Plugin, load_same_plugins, loaded_plugins

WORKER_START_S = 3.0  # until a worker process has imported torch and this: 3.0 s of an Intel Xeon core (n=4, 2.95-3.04)
END_S = 3  # how long a worker may take to clean up before it is killed
_SPAWN = multiprocessing.get_context("spawn")  # fork copies torch's threads in an unusable state


class Worker:
    """One worker process, as its parent sees it. It is started at once; `task` is the number of what it is to do."""

    def __init__(self, given: Shared[Any], task: int | None = None) -> None:
        self.task = task
        self.is_ready = False
        self.connection, theirs = _SPAWN.Pipe()
        arguments = theirs, given, loaded_plugins()
        self._process = _SPAWN.Process(target=_serve, args=arguments, name="initbench-worker")
        try:
            with theirs, _sigint_held():
                self._process.start()
        except OSError as error:
            reason = error.strerror or error
            raise InitbenchError(f"no worker process can be started: {reason}. Take fewer (-j).") from error

    @property
    def sentinel(self) -> int:
        """Return what becomes ready when the process ends."""
        return self._process.sentinel

    def send(self, task: bytes) -> None:
        """Hand out a task. A worker that has died in the meantime does not mind: its sentinel tells."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(task)

    def receive(self) -> bytes | None:
        """Return the next message; None where there is none, as the process has ended."""
        try:
            return self.connection.recv_bytes() if self.connection.poll() else None
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            return None

    def dismiss(self) -> None:
        """Let it end by itself: there is nothing more to do."""
        self.connection.close()

    def how_it_ended(self) -> str:
        """Return how a process that is known to have ended did so, in words."""
        end([self], politely=True)
        code = self._process.exitcode or 0
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def end(workers: Iterable[Worker], politely: bool) -> None:
    """Leave none of them: wait for those that end by themselves (politely), or terminate them; in the end, kill."""
    processes = [worker._process for worker in workers]
    deadline = time.monotonic() + END_S
    try:
        for process in processes:
            if not politely:
                process.terminate()
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
    finally:
        for worker, process in zip(workers, processes, strict=True):
            process.kill()
            process.join()
            worker.connection.close()


@contextlib.contextmanager
def _sigint_held() -> Iterator[None]:
    """Let a process that is started here begin with SIGINT blocked: Ctrl-C while it imports would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the first start of a process would do so, and unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, given: Shared[tuple[Any, Any]], plugins: tuple[Plugin, ...]) -> None:
    """Be a worker: get ready, then do tasks until the parent closes the pipe."""
    _obey_parent()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent wants nothing any more
        try:
            load_same_plugins(plugins)  # a task may hold the options of a user's own model
            work, shared = given.open()
        except Exception as error:
            connection.send_bytes(raised(error))
            return
        signal.signal(signal.SIGTERM, _terminated)  # until now it ended this process at once: nothing was at stake
        connection.send_bytes(pack(Ready()))
        while True:
            connection.send_bytes(outcome(work, connection.recv_bytes(), shared, _teller(connection)))


def _teller(connection: Connection) -> Emit:
    def tell(event: Event) -> None:
        connection.send_bytes(pack(Told(event)))

    return tell


def _obey_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _terminated(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)


def _end_with_parent() -> None:
    """End this worker when its parent is gone, however it went: nobody would take the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
