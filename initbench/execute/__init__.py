"""Where runs are executed. An executor takes jobs and the function that does one, and yields results as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from initbench.events import Emit
from initbench.execute.inline import inline
from initbench.execute.processes import Processes
from initbench.results import RunResult

JobT = TypeVar("JobT")


class Executor(Protocol):
    """`work(job, emit)` is called once per job; (job, result) pairs come in any order, each as soon as it is there.

    `emit` is called in the caller's thread only, while the iterator is asked for its next pair. An exception from
    `work` or `emit` ends the iteration and leaves no process behind, and so does closing the iterator.
    """

    def __call__(
        self, jobs: Sequence[JobT], work: Callable[[JobT, Emit], RunResult], emit: Emit
    ) -> Iterator[tuple[JobT, RunResult]]:
        """Execute the jobs."""


def executor_for(workers: int) -> Executor:
    """Return the executor for so many workers: this process where one is enough."""
    return Processes(workers) if workers > 1 else inline
