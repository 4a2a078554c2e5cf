"""What became of the signals while a network was trained, in the terminal: a table a statistic, epochs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from initbench.report.cells import NOTHING
from initbench.report.compact import compact, compact_percent, counted
from initbench.report.terminal import Line
from initbench.report.wide_table import NumberColumn, WideTable
from initbench.results import LayerSignal, SignalRow, shown
from initbench.spacing import evenly

LEAST_EPOCHS = 2  # shown even where they do not fit beside each other

# heading, number as text
LAYER_STATISTICS: dict[str, Callable[[LayerSignal], str]] = {
    "std": lambda row: compact(row.std),
    "std between inputs": lambda row: compact(row.sample_std),
    "saturated, %": lambda row: compact_percent(row.saturated),
    "dead units, %": lambda row: compact_percent(row.dead),
}
ALWAYS = ("std", "std between inputs")


def signal_rows_view(rows: Sequence[SignalRow]) -> RenderableType:
    """Return how the layers' activations and the weights' gradients changed, at as many recorded epochs as fit.

    Where nothing could be measured, one line says why.
    """
    if not rows:
        return Text("no signals were recorded", "dim")
    harmless = list(map(shown, rows))
    return Group(*_problems(harmless), SignalTables(measured(harmless)))


def measured(rows: Sequence[SignalRow]) -> list[SignalRow]:
    """Return the rows that hold a measurement."""
    return [row for row in rows if row.problem is None]


def _problems(rows: Sequence[SignalRow]) -> Iterator[Line]:
    """Yield one line with the epochs at which nothing could be measured, and why."""
    epochs: dict[str, list[str]] = {}
    for row in rows:
        if row.problem is not None:
            epochs.setdefault(row.problem, []).append(str(row.epoch))
    if epochs:
        found = (f"epoch{'s' * (len(at) > 1)} {', '.join(at)}: {problem}" for problem, at in epochs.items())
        yield Line(f"not measured: {'; '.join(found)}", "yellow")


@dataclass(frozen=True)
class SignalTables:
    """A table a statistic, with the same epochs in all of them: evenly spaced, the first and the last among them."""

    rows: Sequence[SignalRow]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tables with as many epochs as fit into the width, with two where no more do."""
        if not self.rows:
            return
        most = min(len(self.rows), options.max_width // len("epoch 0  ") + 1)
        for count in range(most, 0, -1):
            shown = [self.rows[index] for index in evenly(len(self.rows), count)]
            tables = [_table(shown, *table) for table in _tables(shown)]
            if count <= LEAST_EPOCHS or all(table.fits(options.max_width) for table in tables):
                break
        left_out = len(self.rows) - len(shown)
        more = f"; {left_out} more {'is' if left_out == 1 else 'are'} in the run's file" if left_out else ""
        of = counted(len(self.rows), "recorded epoch")
        yield Line(f"signals in training, {len(shown)} of {of}{more}", "bold", "")
        for table in tables:
            yield Text()
            yield table


def _table(
    rows: Sequence[SignalRow], title: str, names: tuple[str, ...], cells: Sequence[tuple[str, ...]]
) -> WideTable:
    columns = (NumberColumn(f"epoch {row.epoch}", column) for row, column in zip(rows, cells, strict=True))
    return WideTable(title, names, tuple(columns))


def _tables(rows: Sequence[SignalRow]) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Yield the title, the names and for each epoch the cells of every table that has a number in it."""
    layers = dict.fromkeys(layer.name for row in rows for layer in row.layers)
    for title, number in LAYER_STATISTICS.items():
        found = [{layer.name: number(layer) for layer in row.layers} for row in rows]
        there = {name: None for name in layers if title in ALWAYS or any(_is_there(cells, name) for cells in found)}
        if there:
            yield title, tuple(there), [tuple(cells.get(name, NOTHING) for name in there) for cells in found]
    weights = dict.fromkeys(weight.name for row in rows for weight in row.weights)
    if weights:
        norms = [{weight.name: compact(weight.grad_norm) for weight in row.weights} for row in rows]
        yield "gradient norm", tuple(weights), [tuple(cells.get(name, NOTHING) for name in weights) for cells in norms]


def _is_there(cells: dict[str, str], name: str) -> bool:
    return cells.get(name, NOTHING) != NOTHING
