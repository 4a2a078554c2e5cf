"""`initbench compare`, xavier and he on several seeds, in two figures.

All of it: the wall clock of the command itself, from its start to its end: interpreter, planning, data, workers,
training, storing, statistics. The start takes the same time however long the training is, so that this figure grows
with the runs: here they are few and short.

Training: from when every worker has ended an epoch to when the last run is stored, as the events of
`initbench.compare` tell; whatever lies between runs is on the clock (initialization, storing, the idle end of one
worker while another trains). As workers do not end their first epochs at the same moment, an epoch that had begun
before the clock did counts by the share of its seconds that lies after it. (The other way, the difference between a
long and a short command, carries the noise of two starts, and leaves out what runs cost beside their epochs.)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import initbench
from initbench.events import EpochDone, Event, Planned, RunDone
from initbench.results import Comparison
from rivals.own import settings
from rivals.recipe import Measured, Recipe, Stopwatch

SCHEMES = ("xavier", "he")


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run: when it ended, by time.monotonic(), and the seconds that it took."""

    run_id: str
    ended: float
    seconds: float

    def share_after(self, moment: float) -> float:
        """Return the share of the epoch that lies after `moment`."""
        return min(1.0, max(0.0, (self.ended - moment) / self.seconds))


def training(recipe: Recipe, watch: Stopwatch, jobs: int) -> Measured:
    """Measure the training alone."""
    planned: list[float] = []
    stored: list[float] = []
    epochs: list[Epoch] = []

    def note(event: Event) -> None:
        if isinstance(event, Planned):
            planned.append(time.monotonic())
        elif isinstance(event, EpochDone):
            epochs.append(Epoch(event.run_id, time.monotonic(), event.row.seconds))
        elif isinstance(event, RunDone):
            stored.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        found = initbench.compare(
            SCHEMES, config=settings(recipe), seeds=recipe.seeds, jobs=jobs, runs_dir=folder, emit=note
        )
    begun = all_at_work(epochs, jobs)
    watch.marks += [planned[0], begun, stored[-1]]
    return watch.measured(sum(epoch.share_after(begun) for epoch in epochs), lowest(found))


def all_at_work(epochs: Sequence[Epoch], jobs: int) -> float:
    """Return when `jobs` runs had each ended an epoch: each worker one, as they begin together."""
    firsts: dict[str, float] = {}
    for epoch in epochs:
        firsts.setdefault(epoch.run_id, epoch.ended)
    return list(firsts.values())[jobs - 1]


def command(recipe: Recipe, watch: Stopwatch, jobs: int) -> Measured:
    """Measure the whole command."""
    begun = time.monotonic()
    found = run_command(recipe, jobs)
    return Measured(len(SCHEMES) * recipe.seeds * recipe.epochs, time.monotonic() - begun, lowest(found))


def run_command(recipe: Recipe, jobs: int) -> Comparison:
    """Give the command as a user does, with a runs folder that is new, and return what it printed."""
    options = {
        "--schemes": ",".join(SCHEMES),
        "--seeds": recipe.seeds,
        "--epochs": recipe.epochs,
        "--jobs": jobs,
        "--format": "json",
        "--device": "cpu",
        "--set": f"data.name={recipe.dataset}",
        **({"--limit": recipe.limit} if recipe.limit else {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        words = [word for option in options.items() for word in map(str, option)]
        given = [sys.executable, "-m", "initbench", "compare", *words, "--no-fallback", "--runs-dir", folder]
        ended = subprocess.run(given, capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode:
        raise RuntimeError(f"{' '.join(given)} ended with {ended.returncode}:\n{ended.stderr}")
    return Comparison.model_validate_json(ended.stdout)


def lowest(found: Comparison) -> float:
    """Return the lowest accuracy; raises RuntimeError where a run has none."""
    accuracies = [run.test_accuracy for scheme in found.schemes for run in scheme.runs]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if len(known) < len(accuracies):
        raise RuntimeError(f"only {len(known)} of {len(accuracies)} runs ended well")
    return min(known)
