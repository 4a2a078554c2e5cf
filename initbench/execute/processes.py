"""Execute tasks in worker processes on this machine."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import wait
from typing import Any, Generic

from initbench.errors import InitbenchError
from initbench.events import Emit, Notice
from initbench.execute import Executor, Lost, ResultT, SharedT, TaskT, Work, register_executor
from initbench.execute.messages import Done, Raised, Ready, Told, pack, unpack
from initbench.execute.sharing import Shared, share
from initbench.execute.workers import WORKER_START_S, Worker, end

TRIES = 2  # how often a task may be begun by a worker that dies of it
CANNOT_START = (
    "no worker process can be started: the last one {how} before it was ready. If memory was short, take fewer workers"
    " (-j); finished runs are kept. (A script that calls compare(..., jobs=2) must do so under"
    ' `if __name__ == "__main__":`; workers import it.)'
)


@register_executor("processes", start_s=WORKER_START_S)
def create(workers: int, address: str | None) -> Executor:
    """Return the executor of so many worker processes."""
    return Processes(workers)


@dataclass(frozen=True)
class Processes:
    """An executor of so many worker processes, each started once, and again where one dies."""

    workers: int

    def __call__(
        self, tasks: Iterable[TaskT], work: Work[TaskT, SharedT, ResultT], shared: SharedT, emit: Emit
    ) -> Generator[tuple[TaskT, ResultT | Lost], None, None]:
        """Do the tasks on the workers; raises InitbenchError where none of them can be started."""
        waiting = iter(tasks)
        if not (ahead := list(islice(waiting, 1))):
            return
        with share((work, shared)) as given:
            crew: _Crew[TaskT, ResultT] = _Crew(chain(ahead, waiting), given, emit)
            try:
                crew.hire(self.workers)
                while crew.unfinished:
                    crew.listen()
                    while crew.done:
                        yield crew.done.popleft()
                    if crew.error is not None:
                        raise crew.error
            except BaseException:
                end([*crew.dismissed, *crew.workers], politely=False)
                raise
            end(crew.workers, politely=False)  # they are still starting
            end(crew.dismissed, politely=True)


class _Crew(Generic[TaskT, ResultT]):
    """The workers, what is left to do, and what is done but not yet yielded. Tasks are known by their numbers."""

    def __init__(self, tasks: Iterable[TaskT], given: Shared[Any], emit: Emit) -> None:
        self._waiting = enumerate(tasks)
        self._begun: dict[int, TaskT] = {}  # those that were taken, and are not done
        self._queue = deque[int]()  # those of them that no worker has
        self._deaths: Counter[int] = Counter()
        self._given = given
        self._emit = emit
        self._failed_starts = 0
        self.workers: list[Worker] = []  # each is starting or has a task
        self.dismissed: list[Worker] = []
        self.done: deque[tuple[TaskT, ResultT | Lost]] = deque()
        self.error: Exception | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a task is not done yet, as far as is known: where none is begun, the next one is looked for."""
        if not self._begun and (task := self._next()) is not None:
            self._queue.append(task)
        return bool(self._begun)

    def hire(self, count: int, task: int | None = None) -> None:
        """Start so many workers; a fresh one may be meant for the task of one that died."""
        for _ in range(count):
            self.workers.append(Worker(self._given, task))

    def _next(self) -> int | None:
        """Take the next task that no worker has."""
        if self._queue:
            return self._queue.popleft()
        for number, task in self._waiting:
            self._begun[number] = task
            return number
        return None

    def listen(self) -> None:
        """Wait until a worker has something to say, or has died, and see to it."""
        by_source: dict[Any, Worker] = {worker.connection: worker for worker in self.workers}
        by_source |= {worker.sentinel: worker for worker in self.workers}
        for worker in dict.fromkeys(by_source[source] for source in wait(by_source)):
            message = worker.receive()
            if message is None:
                self._bury(worker)
            else:
                self._hear(worker, message)

    def _hear(self, worker: Worker, message: bytes) -> None:
        match unpack(message):
            case Told(event):
                self._emit(event)
            case Ready():
                worker.is_ready = True
                self._tell_failed_starts()
                self._hand_out(worker)
            case Done(result) if worker.task is not None:
                self._finish(worker.task, result)
                worker.task = None
                self._hand_out(worker)
            case Raised(error):
                self.error = error

    def _finish(self, task: int, result: ResultT | Lost) -> None:
        self.done.append((self._begun.pop(task), result))
        del self._deaths[task]

    def _hand_out(self, worker: Worker) -> None:
        if worker.task is None:
            worker.task = self._next()
        if worker.task is not None:
            worker.send(pack(self._begun[worker.task]))
        else:
            self.workers.remove(worker)
            self.dismissed.append(worker)
            worker.dismiss()

    def _bury(self, worker: Worker) -> None:
        """Remove a worker that died: its task goes to a fresh one, or is lost."""
        how = worker.how_it_ended()
        self.workers.remove(worker)
        if not worker.is_ready:
            self._do_without(worker.task, how)
        elif worker.task is not None:
            self._deaths[worker.task] += 1
            if self._deaths[worker.task] < TRIES:
                self._emit(Notice(f"A worker process {how}; what it did is tried once more."))
                self.hire(1, worker.task)
            else:
                self._finish(worker.task, Lost(f"the worker process {how}, {TRIES} times"))
                if (task := self._next()) is not None:
                    self.hire(1, task)

    def _do_without(self, task: int | None, how: str) -> None:
        """Go on with the other workers, as one that dies at its start would do so again."""
        self._failed_starts += 1
        if task is not None:
            self._queue.appendleft(task)
        if not self.workers:
            self.error = InitbenchError(CANNOT_START.format(how=how))
        elif any(worker.is_ready for worker in self.workers):
            self._tell_failed_starts()

    def _tell_failed_starts(self) -> None:
        if self._failed_starts:
            self._failed_starts = 0
            self._emit(
                Notice(f"A worker process died at its start (out of memory?); going on with {len(self.workers)}.")
            )
