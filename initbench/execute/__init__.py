"""Where tasks are executed: one contract, and the executors that keep it, each registered by a file of this folder.

A task is whatever `work` takes; nothing here knows what it means. Importing this package imports neither Ray nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from initbench.errors import UsageError
from initbench.events import Emit
from initbench.registry import Registry, import_siblings

TaskT = TypeVar("TaskT")
SharedT = TypeVar("SharedT")
ResultT = TypeVar("ResultT")
Work = Callable[[TaskT, SharedT, Emit], ResultT]  # a module's function, or a functools.partial of one: picklable


@dataclass(frozen=True)
class Lost:
    """Instead of a result: the worker died on this task, and again when it was tried once more (Ray: three times)."""

    reason: str


class Executor(Protocol):
    """`work(task, shared, emit)` is called for each task, wherever that is.

    - (task, result) pairs come in any order, each as soon as it is there, no task twice. `tasks` is asked for the next
      one as a worker becomes idle (Ray: a few ahead), in the caller's thread. A task and its result are not kept once
      they are yielded, so memory does not grow with the tasks.
    - `emit` is called in the caller's thread, and only while the iterator is asked for its next pair. The events of a
      task come before its result; those of a task that was tried again may come twice.
    - An exception from `work` or `emit` ends the iteration and is raised in the caller, as it was; one from another
      process has the traceback there as a note. After that, or after `close()`, no process is left that computes.
    - A worker that dies (killed, out of memory, `sys.exit` in `work`) costs only its own task: that is tried again on
      a fresh worker, and is `Lost` if that dies, too. In this process there is nobody else to die.
    - `shared` is given to each worker once. Its large buffers (numpy arrays: pickle protocol 5, out-of-band) are
      mapped, not copied, and may be read-only: `work` reads `shared`, and does not write.
    """

    def __call__(
        self, tasks: Iterable[TaskT], work: Work[TaskT, SharedT, ResultT], shared: SharedT, emit: Emit
    ) -> Generator[tuple[TaskT, ResultT | Lost], None, None]:
        """Execute the tasks; raises InitbenchError where no worker can be had."""


@dataclass(frozen=True)
class ExecutorKind:
    """A registered kind of executor: `create(workers, address)` returns one; its workers take `start_s` to start."""

    create: Callable[[int, str | None], Executor]
    takes_address: bool
    start_s: float


executors: Registry[ExecutorKind] = Registry("executor")
CreateT = TypeVar("CreateT", bound=Callable[[int, str | None], Executor])


def register_executor(name: str, *, takes_address: bool = False, start_s: float = 0.0) -> Callable[[CreateT], CreateT]:
    """Register the decorated function as what creates executor `name`; its file imports nothing heavy at its top."""

    def decorate(create: CreateT) -> CreateT:
        executors.add(name, ExecutorKind(create, takes_address, start_s))
        return create

    return decorate


def executor_for(name: str, workers: int, address: str | None = None) -> Executor:
    """Return the executor `name` with so many workers; `address` names a cluster, for executors that use one.

    Raises UsageError for an unknown name, fewer than one worker, an address that is of no use, and for an executor
    whose package is not installed.
    """
    kind = executors[name]
    if workers < 1:
        raise UsageError(f"{workers} workers asked for; give 1 or more.")
    if address is not None and not kind.takes_address:
        able = ", ".join(each for each in executors if executors[each].takes_address)
        raise UsageError(f"executor {name!r} takes no cluster address ({address!r} given); executors that do: {able}.")
    return kind.create(workers, address)


import_siblings(__name__, list(__path__))
