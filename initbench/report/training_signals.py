"""What became of the signals while a network was trained, in the terminal: a table a statistic, epochs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from initbench.report.cells import NOTHING
from initbench.report.compact import compact, compact_percent
from initbench.report.signal_axes import evenly
from initbench.report.terminal import Line
from initbench.report.wide_table import NumberColumn, WideTable
from initbench.results import LayerSignal, SignalRow

MOST_EPOCHS = 5

# heading, number as text
LAYER_STATISTICS: dict[str, Callable[[LayerSignal], str]] = {
    "std": lambda row: compact(row.std),
    "std between inputs": lambda row: compact(row.sample_std),
    "saturated, %": lambda row: compact_percent(row.saturated),
    "dead units, %": lambda row: compact_percent(row.dead),
}
ALWAYS = ("std", "std between inputs")


def signal_rows_view(rows: Sequence[SignalRow]) -> RenderableType:
    """Return how the layers' activations and the weights' gradients changed, at up to five of the recorded epochs."""
    if not rows:
        return Text("no signals were recorded", "dim")
    shown = [rows[index] for index in evenly(len(rows), MOST_EPOCHS)]
    left_out = len(rows) - len(shown)
    note = f"; {left_out} more are in the run's file" if left_out else ""
    parts: list[RenderableType] = [
        Line(f"signals in training, {len(shown)} of {len(rows)} recorded epochs{note}", "bold", "")
    ]
    for title, names, cells in _tables(shown):
        columns = (NumberColumn(f"epoch {row.epoch}", column) for row, column in zip(shown, cells, strict=True))
        parts += [Text(), WideTable(title, names, tuple(columns))]
    return Group(*parts)


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
