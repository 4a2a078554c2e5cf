"""When an unfinished task is saved, and how it goes on from there."""

from __future__ import annotations

import time
from collections.abc import Sequence

from initbench.errors import StoreError
from initbench.events import Emit, Notice
from initbench.results import UnfinishedTask
from initbench.store import Unfinished
from initbench.training.state import TrainingState
from initbench.work.jobs import task_name
from initbench.work.recording import Recorder

SHARE = 0.1  # of the time is what saving may take: epochs shorter than ten times that are saved every few
WORTH_SAVING_S = 1.0  # an initialization that took longer is saved before the first epoch


class Saving:
    """What is saved of a task while it is trained; nothing where `unfinished` is None or out of this machine's reach.

    After each epoch everything is saved that training goes on from, unless that would take more than SHARE of the time.
    """

    def __init__(self, recorders: Sequence[Recorder], unfinished: Unfinished | None, emit: Emit) -> None:
        self._name = task_name([recorder.job for recorder in recorders])
        self._epochs = recorders[0].job.config.train.epochs
        self._recorders = recorders
        self._unfinished = unfinished if unfinished and unfinished.reachable else None
        self._emit = emit
        self._next_s = 0.0  # when the next save is due
        self.resumed_after: tuple[int, ...] = ()

    def restored(self) -> TrainingState | None:
        """Give the recorders what was saved, and return the state to go on from; None where there is nothing of use."""
        if self._unfinished is None:
            return None
        try:
            if (found := self._unfinished.load(self._name)) is None:
                return None
            task, tensors = found
            self._take_up(task)
        except (StoreError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.discard(error)
            for recorder in self._recorders:
                recorder.forget()
            return None
        self.resumed_after = (*task.resumed_after, task.epoch)
        for recorder in self._recorders:
            recorder.resumed(task.epoch)
        return TrainingState(task.epoch, task.steps, tensors, task.ended)

    def discard(self, error: Exception) -> None:
        """Forget what was saved, which `error` says cannot be used."""
        if self._unfinished is not None:
            self._unfinished.remove(self._name)
        job = self._recorders[0].job
        what = f"{job.label}, seed {job.config.seed}" + (", and its stack" if len(self._recorders) > 1 else "")
        self._emit(Notice(f"what was saved of {what} cannot be used ({error}): it is trained from the beginning."))

    def _take_up(self, task: UnfinishedTask) -> None:
        places = range(len(self._recorders))
        if len(task.runs) != len(places) or not task.epoch < self._epochs or not task.ended.keys() <= set(places):
            raise ValueError("it is of another task")
        for place, recorder, run in zip(places, self._recorders, task.runs, strict=True):
            end = task.ended.get(place)
            recorder.restore(run, end.epoch - 1 if end else task.epoch)

    def on_state(self, state: TrainingState) -> None:
        """Save it, if it is time to; raises StoreError where the disk refuses."""
        began = time.perf_counter()
        slow = sum(recorder.init_s for recorder in self._recorders) > WORTH_SAVING_S
        if self._unfinished is None or began < self._next_s or (state.epoch == 0 and not slow):
            return
        task = UnfinishedTask(
            epoch=state.epoch,
            epochs=self._epochs,
            steps=state.steps,
            ended=dict(state.ended),
            resumed_after=self.resumed_after,
            runs=tuple(recorder.unfinished() for recorder in self._recorders),
        )
        self._unfinished.save(self._name, task, state.tensors)
        ended = time.perf_counter()
        self._next_s = ended + (ended - began) * (1 / SHARE - 1)
