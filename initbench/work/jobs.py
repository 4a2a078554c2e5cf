"""Jobs: the runs that are to be executed, and the tasks that they are handed out in."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from initbench.config import Config
from initbench.identity import Identity
from initbench.results import DatasetInfo, RunResult
from initbench.schemes import parse
from initbench.store import folder_name
from initbench.training.stack_size import split

Engine = Literal["sequential", "stacked"]


@dataclass(frozen=True)
class Job:
    """One run to be executed: a complete config on a known device, dataset and engine. Picklable."""

    label: str
    config: Config
    device: str
    engine: Engine
    dataset: DatasetInfo
    identity: Identity

    @property
    def run_id(self) -> str:
        """The run's id, which its identity hashes to."""
        return self.identity.run_id

    @functools.cached_property
    def scheme(self) -> str:
        """The scheme as results name it: canonical, with those parameters that differ from their defaults."""
        return parse(self.config.init.scheme).label

    def describes(self, result: RunResult) -> bool:
        """Return whether a result is of this run; one of another's making may have its id only."""
        return (result.scheme, result.seed, result.dataset, result.device.partition(":")[0]) == (
            self.scheme, self.config.seed, self.dataset, self.device.partition(":")[0],
        )  # fmt: skip

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        label = f"{self.config.name}-{self.scheme}" if self.config.name else self.scheme
        return folder_name(label, self.config.seed, self.run_id)


Task = tuple[Job, ...]  # the jobs that one worker does at a time: one, or the replicas of one stack


def tasks_of(jobs: Iterable[Job], stack: int | None = None) -> list[Task]:
    """Return the jobs as tasks: neighbours of one shape in the fewest stacks of at most `stack`, others alone."""
    groups = itertools.groupby(jobs, lambda job: (job.engine, _shape(job.config) if job.engine == "stacked" else job))
    tasks: list[Task] = []
    for (engine, _), group in groups:
        members = list(group)
        blocks = split(len(members), 1 if engine == "sequential" else stack or len(members))
        tasks += [tuple(members[place] for place in block) for block in blocks]
    return tasks


def _shape(config: Config) -> tuple[object, ...]:
    """Return what the replicas of a stack have in common."""
    return config.model, config.data, config.train.model_copy(update={"lr": None})


def task_name(task: Sequence[Job]) -> str:
    """Return what a task is called where it is kept while it is unfinished."""
    if len(task) == 1:
        return task[0].run_id
    ids = hashlib.sha256("".join(job.run_id for job in task).encode()).hexdigest()
    return f"stack-of-{len(task)}-{ids[:16]}"
