"""Execute runs one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from initbench.events import Emit
from initbench.results import RunResult

JobT = TypeVar("JobT")


def inline(
    jobs: Sequence[JobT], work: Callable[[JobT, Emit], RunResult], emit: Emit
) -> Iterator[tuple[JobT, RunResult]]:
    """Do the jobs in their order."""
    for job in jobs:
        yield job, work(job, emit)
