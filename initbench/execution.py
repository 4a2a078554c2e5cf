"""Execute a plan, or a shard of it: find what is there already, train the rest wherever asked for, store it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from initbench import estimate, events
from initbench.config import Config
from initbench.errors import UsageError
from initbench.events import Emit
from initbench.execute import Lost, executor_for, executors
from initbench.plan import Plan, plan
from initbench.relatives import not_reusable, why_not
from initbench.report.compact import counted
from initbench.results import RunResult
from initbench.sharing import Sharing
from initbench.store import Broken, Store, Unfinished
from initbench.work import Finished, Job, Task, execute_task, lost, tasks_of

WAITING = 2  # tasks that may wait for the disk
WAIT_S = 0.2  # until it is looked again what other processes have finished
WORTH_CALIBRATING = 1_000_000  # images seen in training, all runs together: some ten seconds of the default model


PutAway = Callable[[Task, Sequence[Finished]], list[RunResult]]


class Executed(NamedTuple):
    """A result, with the label of its job; `reused` where this process did not train it."""

    label: str
    result: RunResult
    reused: bool


@dataclass(frozen=True)
class How:
    """How and where runs are executed and kept: no number depends on it, but the times do."""

    runs_dir: str | Path | None
    data_dir: str | Path | None
    fresh: bool
    emit: Emit
    jobs: int = 1
    executor: str = "auto"
    ray_address: str | None = None
    stack: int | None = None
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.jobs < 1 or (self.stack is not None and self.stack < 1):
            raise UsageError(f"jobs={self.jobs}, stack={self.stack}: give 1 or more.")
        if self.executor != "auto":
            executors[self.executor]
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise UsageError(f"shard={self.shard}: give (k, n), the k-th of n parts, k from 1 to n.")

    def executor_name(self, tasks: int) -> str:
        """Return the executor that `auto` means for so many tasks."""
        if self.executor != "auto":
            return self.executor
        return "ray" if self.ray_address else "processes" if min(self.jobs, tasks) > 1 else "inline"


def prepare(configs: Mapping[str, Sequence[Config]], how: How) -> Prepared:
    """Plan the runs, and look which of them are there already."""
    planned = plan(configs, Path(how.data_dir) if how.data_dir else None, how.emit)
    if how.stack is not None and planned.jobs[0].engine == "sequential":
        raise UsageError(
            f"stack={how.stack}: runs are trained one by one here. Leave it out, or set train.engine=stacked."
        )
    jobs = _block(planned.jobs, *how.shard) if how.shard else planned.jobs
    store = Store(Path(how.runs_dir)) if how.runs_dir else None
    stored = _reusable(jobs, store, how.emit) if store and not how.fresh else {}
    return Prepared(planned, jobs, stored, store, how)


def _reusable(jobs: Sequence[Job], store: Store, emit: Emit) -> dict[str, RunResult]:
    """Return the stored runs of these jobs by their ids; tell of those that are there, but damaged.

    Raises StoreError for those that cannot be read here, and must not be replaced.
    """
    reusable = {}
    found = store.read_all(job.run_id for job in jobs)
    for job in jobs:
        run = found.get(job.run_id)
        if run is None or (isinstance(run, RunResult) and run.status == "failed"):
            continue
        if problem := not_reusable(job, run):
            where = Path(run.path if isinstance(run, Broken) else run.run_dir or "").name
            emit(events.Notice(f"the stored run {where} is damaged ({problem}): it is trained again, and replaced."))
        elif isinstance(run, RunResult):
            reusable[job.run_id] = run
    return reusable


def _block(jobs: list[Job], part: int, parts: int) -> list[Job]:
    """Return the jobs of the part `part`, from 1, of `parts` blocks whose sizes differ by one at most."""
    return jobs[len(jobs) * (part - 1) // parts : len(jobs) * part // parts]


@dataclass(frozen=True)
class Prepared:
    """Runs that can be executed: those of a plan or of a shard of it, and what is there already, by run id."""

    plan: Plan
    jobs: list[Job]
    stored: dict[str, RunResult]
    store: Store | None
    how: How

    @property
    def pending(self) -> list[Job]:
        """The jobs whose runs are not there yet."""
        return [job for job in self.jobs if job.run_id not in self.stored]

    @property
    def _stack(self) -> int:
        """How many replicas are stacked at most: what fits, and what leaves a stack for each worker."""
        for_each = math.ceil(len(self.pending) / self.how.jobs)
        return max(1, min(self.how.stack or self.plan.stack, self.plan.stack, for_each))

    def executed(self) -> Iterator[Executed]:
        """Yield every job's result: stored ones first, then the others as they end.

        Runs that another process trains in the same runs folder meanwhile are waited for, and not trained twice.
        """
        with self.store.stay() if self.store and self.pending else nullcontext() as stay:
            self._announce()
            for job in self.jobs:
                if job.run_id in self.stored:
                    yield self._found(job, self.stored[job.run_id])
            if self.store and stay:
                yield from self._shared(Sharing(self.pending, self.store, stay, self.how.fresh), stay.unfinished)
            elif self.pending:
                trained = self._trained(tasks_of(self.pending, self._stack))
                for job, result in self._put_away(trained, _not_kept):
                    yield Executed(job.label, result, reused=False)

    def _announce(self) -> None:
        """Tell what will be executed, and why runs that look like it are not taken for it."""
        if self.store and not self.how.fresh:
            for line in why_not(self.pending, self.store):
                self.how.emit(events.Notice(line))
        self.how.emit(self.planned(calibrate=_images(self.pending) >= WORTH_CALIBRATING))

    def _found(self, job: Job, result: RunResult) -> Executed:
        """Return a result that is there already."""
        result = result.model_copy(update={"config": job.config.to_dict()})
        self.how.emit(events.RunDone(job.label, result, reused=True))
        return Executed(job.label, result, reused=True)

    def _shared(self, sharing: Sharing, unfinished: Unfinished) -> Iterator[Executed]:
        """Train what nobody else does, round by round, until everything is there."""
        told = False
        while sharing.left:
            trained = self._trained(tasks_of(sharing.left, self._stack), sharing.claimed, unfinished)
            for job, result in self._put_away(trained, sharing.put_away):
                sharing.finish(job)
                yield Executed(job.label, result, reused=False)
            yield from (self._found(job, result) for job, result in sharing.found())
            if sharing.left:
                if not told:
                    what = counted(len(sharing.left), "run")
                    self.how.emit(events.Notice(f"waiting for {what} that another process trains in this runs folder."))
                    told = True
                time.sleep(WAIT_S)

    def _trained(
        self,
        tasks: list[Task],
        claimed: Callable[[Iterable[Task]], Iterable[Task]] = iter,
        unfinished: Unfinished | None = None,
    ) -> Generator[tuple[Task, list[Finished]], None, None]:
        """Yield every task, and what came of its jobs, as they end; of those tasks only what `claimed` lets through."""
        execute = executor_for(*self._executor(len(tasks)))
        work = partial(execute_task, unfinished=unfinished)
        for task, ended in execute(claimed(tasks), work, self.plan.dataset, self.how.emit):
            yield task, lost(task, ended.reason) if isinstance(ended, Lost) else ended

    def _put_away(
        self, ended: Generator[tuple[Task, list[Finished]], None, None], put_away: PutAway
    ) -> Iterator[tuple[Job, RunResult]]:
        """Tell of every run that ended, and yield it with its job once it is put away.

        A thread of its own waits for the disk, some 10 ms a run, while the next run is trained.
        """
        waiting: deque[tuple[Task, Future[list[RunResult]]]] = deque()
        with closing(ended), ThreadPoolExecutor(1) as disk:
            for task, finished in ended:
                for job, one in zip(task, finished, strict=True):
                    self.how.emit(events.RunDone(job.label, self._placed(job, one.result), reused=False))
                waiting.append((task, disk.submit(put_away, task, finished)))
                while waiting and (waiting[0][1].done() or len(waiting) > WAITING):
                    task, stored = waiting.popleft()
                    yield from zip(task, stored.result(), strict=True)
            for task, stored in waiting:
                yield from zip(task, stored.result(), strict=True)

    def _placed(self, job: Job, result: RunResult) -> RunResult:
        """Return the result with the folder that it is being written to."""
        return result.model_copy(update={"run_dir": str(self.store.root / job.folder)}) if self.store else result

    def _executor(self, tasks: int) -> tuple[str, int, str | None]:
        """Return name, workers and address of the executor for so many tasks."""
        return self.how.executor_name(tasks), max(1, min(self.how.jobs, tasks)), self.how.ray_address

    def planned(self, calibrate: bool) -> events.Planned:
        """Return what will be executed; with `calibrate` how long that will take, too."""
        first, jobs, pending = self.plan.jobs[0], self.jobs, self.pending
        seeds = tuple(dict.fromkeys(job.config.seed for job in jobs))
        executor, workers, _ = self._executor(len(tasks_of(pending, self._stack)))
        dataset = self.plan.dataset.on(torch.device(first.device))
        here = self.how.ray_address is None  # how fast other machines are, and how many, is not known
        costs = estimate.measure(pending, dataset, self._stack) if calibrate and pending and here else None
        return events.Planned(
            config=first.config.to_dict(),
            device=first.device,
            dataset=first.dataset,
            parameters=self.plan.parameters,
            runs=len(jobs),
            seeds=seeds,
            epochs=first.config.train.epochs,
            reused=len(self.stored),
            run_dir=str(self.store.root / first.folder) if len(jobs) == 1 and self.store else None,
            labels=tuple(job.label for job in pending),
            expected_s=estimate.expected_s(pending, costs, workers, executors[executor].start_s, self._stack)
            if costs
            else None,
            init_s=costs.init_s if costs else {},
            train_s=costs.train_s(first.config, first.dataset) if costs else None,
            workers=workers,
            executor=executor,
            engine=first.engine,
            shard=self.how.shard,
        )


def _not_kept(task: Task, ended: Sequence[Finished]) -> list[RunResult]:
    return [one.result for one in ended]


def _images(jobs: Sequence[Job]) -> int:
    """Return how many images the jobs will see in training."""
    return sum(job.config.train.epochs * job.dataset.train_size for job in jobs)
