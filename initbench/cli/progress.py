"""What is shown on stderr while runs are executed: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from initbench.cli.consoles import stderr
from initbench.cli.eta import Eta, in_words
from initbench.cli.interrupts import clean_up_first
from initbench.cli.plan_view import header, stand_in_panel
from initbench.events import Downloading, EpochDone, Event, Initializing, Notice, Planned, Resumed, RunDone
from initbench.report import cells
from initbench.report.run_view import epoch_line, pretraining_line
from initbench.results import RunResult


class Display:
    """Shows notices and downloads, then a header and a bar over all epochs; its two children add lines.

    A context manager: the live part ends with the block, whatever ends it.
    """

    def __init__(self, quiet: bool) -> None:
        self.console = stderr()
        self.quiet = quiet
        self.epochs = 0
        self._eta: Eta | None = None
        self._turn = threading.Lock()  # the live part is drawn by a thread of its own
        self._downloads = Downloads(self.console.is_terminal and not quiet)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("epochs,"),
            TimeElapsedColumn(),
            TextColumn("so far,"),
            TextColumn("{task.fields[to_go]} to go"),
            expand=True,
            console=self.console,
        )
        self._task: TaskID | None = None
        self._initializations = Initializations()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        clean_up_first()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._downloads.stop()
        if self._live:
            self._live.stop()

    def emit(self, event: Event) -> None:
        """Show one event."""
        with self._turn:
            if self._eta:
                self._eta.event(event, time.monotonic())
        if isinstance(event, Notice):
            self.console.print(Text(f"note: {event.text}", style="yellow"), soft_wrap=True)
        elif isinstance(event, Downloading):
            self._downloads.report(event)
        elif isinstance(event, Planned):
            self._planned(event)
        elif isinstance(event, Initializing):
            self._initializations.report(event)
            self.initializing(event)
        elif isinstance(event, Resumed):
            self.resumed(event)
        elif isinstance(event, EpochDone):
            self._initializations.end(event.run_id)
            self.epoch(event)
        elif isinstance(event, RunDone):
            self._initializations.end(event.result.run_id)
            self.run(event)

    def _planned(self, event: Planned) -> None:
        self._downloads.stop()
        self.epochs = event.epochs
        if event.dataset.stand_in_for:
            self.console.print(stand_in_panel(event))
        if self.quiet:
            return
        self.console.print(header(event))
        if self.console.is_terminal and event.runs > event.reused:
            self._eta = Eta(event, time.monotonic())
            self._task = self._bar.add_task("training", total=self._eta.epochs_to_do, to_go="")
            self._live = Live(console=self.console, get_renderable=self.live, refresh_per_second=4, transient=True)
            self._live.start()

    def bar(self) -> Progress:
        """Return the bar over all epochs, as far as they are done by now."""
        if self._task is not None and self._eta:
            with self._turn:
                remaining_s, done = self._eta.remaining_s(time.monotonic()), self._eta.epochs_done
            to_go = "?" if remaining_s is None else in_words(remaining_s)
            self._bar.update(self._task, completed=done, to_go=to_go)
        return self._bar

    def say(self, line: str | Text) -> None:
        """Print one line above the bar."""
        if not self.quiet:
            self.console.print(line if isinstance(line, Text) else Text(line), soft_wrap=True)

    def live(self) -> RenderableType:
        """Return what is redrawn at the bottom of the terminal."""
        return Group(*self._initializations.bars(), self.bar())

    def initializing(self, event: Initializing) -> None:
        """Show one step of a long initialization."""

    def resumed(self, event: Resumed) -> None:
        """Show that a run goes on where it was interrupted."""

    def epoch(self, event: EpochDone) -> None:
        """Show one epoch."""

    def run(self, event: RunDone) -> None:
        """Show one finished run."""


class DryRunDisplay(Display):
    """Shows notices and downloads: what is planned is the result, and nothing is trained."""

    def _planned(self, event: Planned) -> None:
        self._downloads.stop()


class RunDisplay(Display):
    """Shows a line per epoch, of the pre-training too."""

    def initializing(self, event: Initializing) -> None:
        """Print the line of a pre-training epoch."""
        if event.step.row is not None:
            self.say(pretraining_line(event.step.row))

    def resumed(self, event: Resumed) -> None:
        """Print the lines of the epochs that are there already."""
        for row in event.history:
            self.say(epoch_line(row, self.epochs))
        self.say(f"goes on after epoch {event.epoch}, where it was interrupted.")

    def epoch(self, event: EpochDone) -> None:
        """Print the epoch's line."""
        self.say(epoch_line(event.row, self.epochs))

    def run(self, event: RunDone) -> None:
        """Say where a run came from that was not trained now."""
        if event.reused:
            self.say("This run is in the runs folder already; not trained again (--fresh trains it).")
            for row in event.result.history:
                self.say(epoch_line(row, self.epochs))


class CompareDisplay(Display):
    """Shows each finished run, and on a terminal the running mean of each scheme under the bar."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self._finished = 0
        self._total = 0
        self._accuracies: dict[str, list[float]] = defaultdict(list)

    def _planned(self, event: Planned) -> None:
        self._total = event.runs
        super()._planned(event)
        if event.reused:
            self.say(f"{event.reused} of {event.runs} runs are in the runs folder already and are not trained again.")

    def resumed(self, event: Resumed) -> None:
        """Say so in a line, where there is no bar to show it."""
        if not self.console.is_terminal:
            where = f"goes on after epoch {event.epoch} of {self.epochs}"
            self.say(f"{event.label}, seed {event.seed}: {where}, where it was interrupted")

    def run(self, event: RunDone) -> None:
        """Count the run into its scheme's running mean; print its line where there is no bar to show it."""
        self._finished += 1
        if event.result.test_accuracy is not None:
            self._accuracies[event.label].append(event.result.test_accuracy)
        unusual = event.result.status != "done"
        if not event.reused and (unusual or not self.console.is_terminal):
            line = (
                f"run {self._finished}/{self._total}: {event.label}, seed {event.result.seed}: {ending(event.result)}"
            )
            self.say(Text(line, style="red" if unusual else ""))

    def live(self) -> RenderableType:
        """Return the bar and a running mean for each scheme."""
        means = Table.grid(padding=(0, 2))
        for label, accuracies in list(self._accuracies.items()):
            mean = cells.percent(statistics.fmean(accuracies))
            means.add_row(Text(label, style="cyan"), f"{mean} % so far", f"n={len(accuracies)}")
        return Group(*self._initializations.bars(), self.bar(), means)


def ending(result: RunResult) -> str:
    """Return how a run ended, in a few words."""
    if result.status == "done":
        return f"test accuracy {cells.percent(result.test_accuracy)} % ({result.train_s:.1f} s)"
    if result.divergence:
        return f"diverged in epoch {result.divergence.epoch}, step {result.divergence.step}"
    return f"failed: {result.error}"


class Initializations:
    """A bar for each run that is being initialized by a scheme that takes long."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bars = Progress(*columns, console=stderr())
        self._tasks: dict[str, TaskID] = {}

    def report(self, event: Initializing) -> None:
        """Move the run's bar."""
        step, text = event.step, escape(f"{event.label}, seed {event.seed}: {event.step.text}")
        if event.run_id not in self._tasks:
            self._tasks[event.run_id] = self._bars.add_task(text, total=step.total)
        self._bars.update(self._tasks[event.run_id], description=text, completed=step.done)

    def end(self, run_id: str) -> None:
        """Take the run's bar away."""
        if run_id in self._tasks:
            self._bars.remove_task(self._tasks.pop(run_id))

    def bars(self) -> list[RenderableType]:
        """Return what there is to show."""
        return [self._bars] if self._tasks else []


class Downloads:
    """A bar per file that is being fetched, from its first report on; nothing where stderr is no terminal."""

    def __init__(self, shown: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self._bars = Progress(*columns, console=stderr(), disable=not shown)
        self._tasks: dict[str, TaskID] = {}

    def report(self, event: Downloading) -> None:
        """Move the file's bar."""
        if event.file not in self._tasks:
            self._bars.start()
            self._tasks[event.file] = self._bars.add_task(event.file)
        self._bars.update(self._tasks[event.file], completed=event.done_bytes, total=event.total_bytes)

    def stop(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        self._bars.stop()
