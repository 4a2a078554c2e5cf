"""Execute runs in worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Lock
from types import FrameType
from typing import Any, NoReturn, TypeVar

from initbench.errors import InitbenchError
from initbench.events import Emit, Event
from initbench.plugins import Plugin, load_same_plugins, loaded_plugins
from initbench.results import RunResult

JobT = TypeVar("JobT")
POLL_S = 0.05  # how long events may wait while no job ends
TERMINATE_S = 3  # how long a worker may take to clean up before it is killed
_events: tuple[Connection, Lock]  # in a worker: the one pipe back that all workers share, and whose turn it is


@dataclass(frozen=True)
class Processes:
    """An executor of so many worker processes, each started once. Jobs and `work` must be picklable."""

    workers: int

    def __call__(
        self, jobs: Sequence[JobT], work: Callable[[JobT, Emit], RunResult], emit: Emit
    ) -> Iterator[tuple[JobT, RunResult]]:
        """Do the jobs on the workers; raises InitbenchError where a worker dies."""
        context = multiprocessing.get_context("spawn")  # fork copies torch's threads in an unusable state
        receiver, sender = context.Pipe(duplex=False)
        given = sender, context.Lock(), loaded_plugins()
        pool = ProcessPoolExecutor(self.workers, context, initializer=_start_worker, initargs=given)
        with receiver, sender, _ended(pool) as workers:
            futures = {pool.submit(_work, work, job): job for job in jobs}
            workers.extend((pool._processes or {}).values())  # the public terminate_workers() needs Python 3.14
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
                while receiver.poll():
                    emit(receiver.recv())
                for future in done:
                    yield futures[future], _result(future)


def _start_worker(sender: Connection, turn: Lock, plugins: tuple[Plugin, ...]) -> None:
    global _events
    _events = sender, turn
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    load_same_plugins(plugins)  # a job may hold the options of a user's own model


def _end_with_parent() -> None:
    """End this worker when its parent is gone, however it went: nobody would take the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _terminated(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)


def _send(event: Event) -> None:
    sender, turn = _events
    with turn:
        sender.send(event)


def _work(work: Callable[[Any, Emit], RunResult], job: Any) -> RunResult:
    try:
        return work(job, _send)
    except SystemExit as end:  # terminated: the job has cleaned up, and the pool would hand this worker the next one
        os._exit(end.code if isinstance(end.code, int) else 1)


def _result(future: Future[RunResult]) -> RunResult:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise InitbenchError(
            "a worker process died (killed, or out of memory). Finished runs are kept: give the same command again,"
            " with fewer workers (-j) if memory was short. (A script that calls compare(..., jobs=2) must do so under"
            ' `if __name__ == "__main__":`; workers import it.)'
        ) from error


@contextmanager
def _ended(pool: ProcessPoolExecutor) -> Iterator[list[BaseProcess]]:
    """Leave none of the listed workers behind: wait for them at a normal end, terminate them after an exception."""
    workers: list[BaseProcess] = []
    try:
        yield workers
    except BaseException:
        manager = pool._executor_manager_thread
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(TERMINATE_S)
            worker.kill()
        if manager is not None:
            manager.join()  # type: ignore[attr-defined] # a thread, which waits for the workers, too
        raise
    pool.shutdown()
