"""Runs that several processes train in one runs folder: which of them this process takes, and which others do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from initbench.relatives import not_reusable
from initbench.results import RunResult
from initbench.store import Stay, Store
from initbench.work import Finished, Job, Task, task_name


class Sharing:
    """The runs that are left to do. Each is claimed before it is trained, and given back when it is on the disk.

    With `fresh` a run that another process finished in the meantime is trained all the same.
    """

    def __init__(self, jobs: Sequence[Job], store: Store, stay: Stay, fresh: bool) -> None:
        self._left = {job.run_id: job for job in jobs}
        self._found: list[tuple[Job, RunResult]] = []
        self._store, self._stay, self._fresh = store, stay, fresh

    @property
    def left(self) -> list[Job]:
        """The jobs whose runs are neither finished nor found."""
        return list(self._left.values())

    def claimed(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Yield what this process is to do of each task, claimed as it is asked for."""
        for task in tasks:
            if mine := tuple(job for job in task if self._claim(job)):
                if self._fresh:
                    self._stay.unfinished.remove(task_name(mine))
                yield mine

    def _claim(self, job: Job) -> bool:
        """Claim a run; say whether it is this process's to train."""
        if not self._stay.claim(job.run_id):
            return False
        result = None if self._fresh else self._store.find(job.run_id)
        if result is None or not_reusable(job, result):
            return True
        self._stay.release(job.run_id)
        self._found.append((self._left.pop(job.run_id), result))
        return False

    def put_away(self, task: Task, ended: Sequence[Finished]) -> list[RunResult]:
        """Put the runs of a task on the disk, and give them back. May be called in another thread."""
        runs = [(job.folder, one.result, one.files) for job, one in zip(task, ended, strict=True)]
        kept = self._store.keep_all(runs, self._stay)
        if not any(result.status == "failed" for result in kept):
            self._stay.unfinished.remove(task_name(task))
        for job in task:
            self._stay.release(job.run_id)
        return kept

    def finish(self, job: Job) -> None:
        """Take note that a run is on the disk."""
        del self._left[job.run_id]

    def found(self) -> list[tuple[Job, RunResult]]:
        """Return, once, what other processes have finished since the last time."""
        found, self._found = self._found, []
        return found
