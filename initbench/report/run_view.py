"""One run in the terminal: what it was, its history, how it ended; and the line that an epoch prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.report import cells
from initbench.report.compact import counted
from initbench.report.terminal import Line, stand_in_notice
from initbench.results import EpochRow, PretrainingRow, RunResult, UnfinishedTask, printable, shown


def epoch_line(row: EpochRow, epochs: int) -> str:
    """Return one aligned line, below 80 columns, for epoch `row.epoch` of `epochs`."""
    width = len(str(epochs))
    return (
        f"epoch {row.epoch:>{width}}/{epochs}  train loss {_loss(row.train_loss):>7}  "
        f"train acc {cells.percent(row.train_accuracy):>6} %  test acc {cells.percent(row.test_accuracy):>6} %  "
        f"{row.seconds:5.1f} s"
    )


def pretraining_line(row: PretrainingRow) -> str:
    """Return one aligned line, below 80 columns, for a pre-training epoch of one layer."""
    likelihood = row.pseudo_log_likelihood
    return (
        f"pre-training {printable(row.layer):<4} epoch {row.epoch:>2}  reconstr. error {row.reconstruction_error:.4f}"
        + ("" if likelihood is None else f"  pseudo-log-l. {likelihood:.1f}")
        + f"  {row.seconds:4.1f} s"
    )


def run_view(result: RunResult) -> RenderableType:
    """Return what `runs show` shows of one run."""
    result = shown(result)
    parts: list[RenderableType] = [*stand_in_notice(result.dataset), _facts(result)]
    if result.pretraining:
        parts += [Text(), pretraining_table(result)]
    if result.history:
        parts += [Text(), history_table(result)]
    return Group(*parts, Text(), outcome(result))


def history_table(result: RunResult) -> Table:
    """Return a row for each epoch of the run."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("epoch", "train loss", "train acc, %", "test acc, %", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=7)
    for row in result.history:
        accuracies = cells.percent(row.train_accuracy), cells.percent(row.test_accuracy)
        table.add_row(str(row.epoch), _loss(row.train_loss), *accuracies, f"{row.seconds:.1f}")
    return table


def pretraining_table(result: RunResult) -> Table:
    """Return a row for each epoch of the run's pre-training."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("layer", "epoch", "reconstr. error", "free energy", "pseudo-log-lik.", "seconds"):
        table.add_column(heading, justify="left" if heading == "layer" else "right", no_wrap=True)
    for row in result.pretraining:
        energies = [
            cells.NOTHING if nats is None else f"{nats:.1f}" for nats in (row.free_energy, row.pseudo_log_likelihood)
        ]
        table.add_row(
            Text(row.layer), str(row.epoch), f"{row.reconstruction_error:.5f}", *energies, f"{row.seconds:.1f}"
        )
    return table


def outcome(result: RunResult) -> RenderableType:
    """Return how the run ended, in one line."""
    result = shown(result)
    if result.status == "diverged":
        where = result.divergence
        at = f" in epoch {where.epoch}, step {where.step}" if where else ""
        return Line(f"diverged: the training loss was not finite{at}. The run has no test accuracy.", "bold red")
    if result.status == "failed":
        return Line(f"failed: {result.error or 'no reason was recorded'}", "bold red")
    accuracy = f"{cells.percent(result.test_accuracy)} %"
    images = f"{counted(result.dataset.test_size, 'test image')} of {cells.dataset(result.dataset)}"
    return Line(f"test accuracy {accuracy} on {images}, last epoch (n=1, no interval)", "bold")


def _facts(result: RunResult) -> Table:
    """Return what identifies the run, one fact a line."""
    info = result.dataset
    facts = {
        "run": result.run_id,
        "scheme": result.scheme,
        "seed": str(result.seed),
        "status": result.status,
        "dataset": f"{cells.dataset(info)}, {cells.sizes(info)}",
        "device": result.device,
        "parameters": f"{result.parameters:,}",
        "time": f"{result.init_s:.2f} s to initialize, {result.train_s:.1f} s to train",
        **({"folder": result.run_dir} if result.run_dir else {}),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, Text(fact))
    return table


def _loss(loss: float) -> str:
    """Return a loss in 7 characters: four decimals as far as they fit."""
    if loss < 100:
        return f"{loss:.4f}"
    return f"{loss:.5g}" if loss < 1e5 else f"{loss:.1e}"


def runs_table(results: Sequence[RunResult], unfinished: Sequence[UnfinishedTask] = ()) -> Table:
    """Return a row for each run: the finished ones, and then what is unfinished."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("id", "scheme", "dataset"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for heading in ("seed", "epochs", "status", "test acc, %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in map(_listed, results):
        epochs = Text(str(result.config.get("train", {}).get("epochs", cells.NOTHING)))
        facts = str(result.seed), epochs, result.status
        names = Text(result.run_id[:8]), Text(result.scheme), Text(cells.dataset(result.dataset))
        table.add_row(*names, *facts, cells.percent(result.test_accuracy))
    for task in map(shown, unfinished):
        for run in task.runs:
            names = Text(run.run_id[:8]), Text(run.scheme), Text(_dataset(run.identity))
            table.add_row(*names, str(run.seed), f"{task.epoch} of {task.epochs}", "unfinished", cells.NOTHING)
    return table


def _dataset(identity: Mapping[str, Any]) -> str:
    """Return the name of the dataset in an identity, which somebody else may have written."""
    found = identity.get("dataset")
    return found[0] if isinstance(found, list | tuple) and found and isinstance(found[0], str) else cells.NOTHING


def _listed(result: RunResult) -> RunResult:
    """Return what the list shows of a run, harmless to show."""
    return shown(result.model_copy(update={"pretraining": (), "history": ()}))
