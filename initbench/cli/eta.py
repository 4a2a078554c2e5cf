"""How long it still takes: from the plan and what happened so far, to the time at which the last run ends."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from initbench.events import EpochDone, Event, Initializing, Planned, Resumed, RunDone
from initbench.makespan import makespan
from initbench.results import RunResult


class Eta:
    """The remaining wall time of the planned runs. Driven by `event(event, now_s)`; `now_s` is any steady clock's.

    A run costs what finished runs of its scheme took on average; where none is finished, what their epochs and steps of
    initialization say so far; where nothing is known yet, what the calibration expected. The remaining runs are handed
    to the workers in their order, which matters at the end, when some workers have nothing left to do. The clock starts
    with the first sign of work. What the past cost and the time it took give one factor for the future: it holds the
    gaps between runs, and workers that are more or fewer than planned.
    """

    def __init__(self, planned: Planned, now_s: float = 0.0) -> None:
        self._plan, self._planned_s = planned, now_s
        self._runs = planned.runs - planned.reused
        self._active: dict[str, _Active] = {}
        self._known: dict[str, _Known] = defaultdict(_Known)  # by label
        self._free_s: list[float] = []  # since when each worker is busy with a run that it has not yet spoken of
        self._together = planned.engine == "stacked"  # a worker trains several runs at once
        self._first_s: float | None = None
        self._last_s = 0.0
        self._before_s = 0.0  # what runs that ended took before they were interrupted
        self._estimate: tuple[float, float] | None = None  # when it was made, and the remaining seconds then

    @property
    def epochs_to_do(self) -> int:
        """The epochs of all runs that are to be trained."""
        return self._runs * self._plan.epochs

    @property
    def epochs_done(self) -> int:
        """The epochs that need no more work: all of a run that ended, however early it did."""
        ended = sum(known.ended for known in self._known.values())
        return ended * self._plan.epochs + sum(run.epochs for run in self._active.values())

    def event(self, event: Event, now_s: float) -> None:
        """Take note of what happened at `now_s`."""
        if isinstance(event, Initializing):
            steps, row = event.step.done / max(event.step.total, 1), event.step.row
            run = self._active_run(event.run_id, event.label, now_s, row.seconds if row else 0.0, steps)
            run.init_steps, run.epochs = steps, 0
        elif isinstance(event, Resumed):
            run = self._active_run(event.run_id, event.label, now_s, 0.0)
            run.epochs = run.before = event.epoch
        elif isinstance(event, EpochDone):
            self._active_run(event.run_id, event.label, now_s, event.row.seconds).epochs = event.row.epoch
            self._known[event.label].epoch_s.add(event.row.seconds)
        elif isinstance(event, RunDone) and not event.reused:
            self._end(event.label, event.result, now_s)
        else:
            return
        self._last_s, self._estimate = now_s, None

    def remaining_s(self, now_s: float) -> float | None:
        """Return the expected seconds from `now_s` on; None where nothing is known yet."""
        if self._first_s is None:
            return self._plan.expected_s
        if self._estimate is None:
            self._estimate = self._last_s, self._linear_s() if self._together else self._simulated_s()
        made_s, remaining_s = self._estimate
        return max(0.0, remaining_s - (now_s - made_s))

    def _active_run(
        self, run_id: str, label: str, now_s: float, last_s: float, init_steps: float | None = None
    ) -> _Active:
        """Return the run that spoke: of something that took `last_s`, within (a fraction) or after its init."""
        self._start_clock(now_s - last_s)
        if run_id not in self._active:
            self._together |= len(self._active) >= self._plan.workers
            init_s = self._known_init_s(label)
            took_s = None if init_s is None else init_s + last_s if init_steps is None else init_s * init_steps
            self._active[run_id] = _Active(label, self._silence_broken(now_s, took_s, last_s), now_s)
        run = self._active[run_id]
        run.heard_s = now_s
        return run

    def _end(self, label: str, result: RunResult, now_s: float) -> None:
        took_s = result.init_s + result.train_s
        self._start_clock(self._planned_s if self._together else now_s - took_s)
        if (run := self._active.pop(result.run_id, None)) is None:
            self._silence_broken(now_s, took_s, took_s)
        elif run.before:
            self._before_s += result.init_s + result.train_s * run.before / max(len(result.history), run.before)
        if len(self._free_s) + len(self._active) < self._plan.workers:
            self._free_s.append(now_s)
        self._known[label].add(result)

    def _start_clock(self, first_s: float) -> None:
        if self._first_s is None:
            self._first_s = max(first_s, self._planned_s)
            self._free_s = [self._first_s] * self._plan.workers

    def _silence_broken(self, now_s: float, took_s: float | None, at_least_s: float) -> float:
        """Return since when a run has been at work: of the silent workers, the one that fits best.

        It is the one that was silent longest where nobody knows what the run took until now.
        """
        if not self._free_s:
            return now_s - (took_s or at_least_s)
        expected_s = now_s - self._first if took_s is None else took_s
        since_s = min(self._free_s, key=lambda free_s: abs(now_s - free_s - expected_s))
        self._free_s.remove(since_s)
        return since_s

    @property
    def _first(self) -> float:
        return self._planned_s if self._first_s is None else self._first_s

    def _simulated_s(self) -> float:
        """Return the remaining seconds when something was heard last, each worker with one run at a time."""
        queue, now_s = list(self._queue()), self._last_s
        cost_s = self._costs_s(queue)
        loads = [self._load_s(run, now_s) for run in self._active.values()]
        silent = min(len(self._free_s), len(queue))  # these have taken a run and not said anything yet
        loads += [
            max(0.0, cost_s[label] - (now_s - free_s))
            for label, free_s in zip(queue[:silent], sorted(self._free_s), strict=False)
        ]
        loads += [0.0] * (self._plan.workers - len(loads))
        return self._factor(now_s) * makespan([cost_s[label] for label in queue[silent:]], loads)

    def _linear_s(self) -> float:
        """Return the remaining seconds when something was heard last, by the work that was done until then."""
        queue = list(self._queue())
        cost_s = self._costs_s(queue)
        done_s, to_do_s = self._finished_s(), sum(cost_s[label] for label in queue)
        for run in self._active.values():
            epoch_s, init_s = self._epoch_s(run.label), self._init_s(run.label)
            initialized = 1.0 if run.epochs else run.init_steps
            done_s += (0.0 if run.before else initialized * init_s) + (run.epochs - run.before) * epoch_s
            to_do_s += (1 - initialized) * init_s + (self._plan.epochs - run.epochs) * epoch_s
        return (self._last_s - self._first) * to_do_s / done_s if done_s else to_do_s

    def _finished_s(self) -> float:
        """Return what the runs that ended took, but for what they took before they were interrupted."""
        return sum(known.init_s.total + known.train_s.total for known in self._known.values()) - self._before_s

    def _factor(self, now_s: float) -> float:
        """Return how many seconds of a planned worker a second of cost took so far; 1 until a run is finished."""
        finished_s = self._finished_s()
        if not finished_s:
            return 1.0
        active_s = sum(now_s - run.began_s for run in self._active.values())
        silent_s = sum(now_s - free_s for free_s in self._free_s)
        return self._plan.workers * (now_s - self._first) / (finished_s + active_s + silent_s)

    def _load_s(self, run: _Active, now_s: float) -> float:
        """Return the seconds that an active run still takes."""
        if not run.epochs:
            init_s = self._init_s(run.label)
            late_s = 0.1 * init_s * (1 - run.init_steps)  # it takes longer than others did, and goes on
            return max(init_s - (now_s - run.began_s), late_s) + self._train_s(run.label)
        epoch_s = self._epoch_s(run.label)
        return (self._plan.epochs - run.epochs) * epoch_s - min(now_s - run.heard_s, epoch_s)

    def _costs_s(self, labels: Iterable[str]) -> dict[str, float]:
        """Return the seconds of a run with each of these schemes."""
        return {label: self._init_s(label) + self._train_s(label) for label in dict.fromkeys(labels)}

    def _known_init_s(self, label: str) -> float | None:
        """Return the seconds of an initialization by this scheme, by runs that ended or by the calibration."""
        if (known := self._known.get(label)) and known.init_s.count:
            return known.init_s.mean
        return self._plan.init_s.get(label)

    def _init_s(self, label: str) -> float:
        """Return the seconds of an initialization by this scheme, as far as anything says how long it takes."""
        if (known_s := self._known_init_s(label)) is not None:
            return known_s
        begun = [run for run in self._active.values() if run.label == label and run.init_steps and not run.epochs]
        if begun:
            return sum((run.heard_s - run.began_s) / run.init_steps for run in begun) / len(begun)
        return 0.0 if label in self._plan.labels else _mean_of(known.init_s for known in self._known.values())

    def _train_s(self, label: str) -> float:
        """Return the seconds of a training; runs of a scheme that diverges end early."""
        if (known := self._known.get(label)) and known.train_s.count:
            return known.train_s.mean
        return self._plan.epochs * self._epoch_s(label)

    def _epoch_s(self, label: str) -> float:
        """Return the seconds of an epoch after this scheme; or after any, as they all train the same model."""
        if (known := self._known.get(label)) and known.epoch_s.count:
            return known.epoch_s.mean
        expected_s = (self._plan.train_s or 0.0) / self._plan.epochs
        return _mean_of((known.epoch_s for known in self._known.values()), expected_s)

    def _queue(self) -> Iterator[str]:
        """Yield the labels of the runs that no worker has spoken of yet, in their order; "" where no plan has them."""
        spoken = Counter(run.label for run in self._active.values())
        for label, known in self._known.items():
            spoken[label] += known.ended
        if not self._plan.labels:
            yield from [""] * (self._runs - spoken.total())
        for label in self._plan.labels:
            if spoken[label]:
                spoken[label] -= 1
            else:
                yield label


@dataclass
class _Active:
    """A run that a worker is busy with: since when, and how far it was at `heard_s`, when it last said so."""

    label: str
    began_s: float
    heard_s: float
    init_steps: float = 0.0  # the fraction of its initialization that it has reported
    epochs: int = 0
    before: int = 0  # of them, those of an earlier time: it was interrupted after them


@dataclass
class _Mean:
    """A running mean."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float, count: int = 1) -> None:
        self.total += value
        self.count += count

    @property
    def mean(self) -> float:
        return self.total / self.count


def _mean_of(parts: Iterable[_Mean], otherwise: float = 0.0) -> float:
    """Return the mean over all `parts`."""
    known = list(parts)
    count = sum(part.count for part in known)
    return sum(part.total for part in known) / count if count else otherwise


@dataclass
class _Known:
    """What the runs of one scheme took so far: those that ended, and their epochs, of the active ones, too."""

    init_s: _Mean = field(default_factory=_Mean)
    train_s: _Mean = field(default_factory=_Mean)
    epoch_s: _Mean = field(default_factory=_Mean)
    ended: int = 0

    def add(self, result: RunResult) -> None:
        """Take note of a run that ended; what one that failed took says nothing of the others."""
        self.ended += 1
        if result.status == "failed":
            return
        self.init_s.add(result.init_s)
        self.train_s.add(result.train_s)
        if not self.epoch_s.count and result.history:  # the epochs came with the result, or not at all
            self.epoch_s.add(result.train_s, len(result.history))


def in_words(seconds: float) -> str:
    """Return a duration as it may be promised: seconds up to three minutes, minutes below 90, hours with a decimal."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 179.5:
        return f"about {seconds:.0f} s"
    if seconds < 89.5 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
