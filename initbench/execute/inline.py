"""Execute tasks one after the other in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from initbench.events import Emit, Event
from initbench.execute import Executor, Lost, ResultT, SharedT, TaskT, Work, register_executor


@register_executor("inline")
def create(workers: int, address: str | None) -> Executor:
    """Return the executor that uses this process, which is one, however many workers are asked for."""
    return inline


def inline(
    tasks: Iterable[TaskT], work: Work[TaskT, SharedT, ResultT], shared: SharedT, emit: Emit
) -> Generator[tuple[TaskT, ResultT | Lost], None, None]:
    """Do the tasks in their order."""
    for task in tasks:
        yield task, _done(task, work, shared, emit)


def _done(task: TaskT, work: Work[TaskT, SharedT, ResultT], shared: SharedT, emit: Emit) -> ResultT:
    """Return the result; an exception from `emit` is raised even where `work` takes it for one of its own."""
    refusals: list[BaseException] = []

    def remember(event: Event) -> None:
        try:
            emit(event)
        except BaseException as error:
            refusals.append(error)
            raise

    try:
        return work(task, shared, remember)
    finally:
        if refusals:
            raise refusals[0]
