"""The histograms of an inspection in the terminal: a row for each layer, a column for each scheme."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from initbench.activations import BOUNDS
from initbench.report.bars import bar_row
from initbench.report.cells import NOTHING
from initbench.report.compact import axis_end, compact, left_out_of
from initbench.report.signal_axes import Axis, both_ends, drawn_layers, layer_of, scheme_name, signal_axes
from initbench.report.terminal import Line, SchemeName
from initbench.results import Inspection, LayerSignal, SignalReport

MOST_LAYERS = 12
LEAST_CELL, WIDEST_CELL = 12, 24
WIDEST_LABEL = 20
GAP = 2


@dataclass(frozen=True)
class HistogramGrid:
    """The histograms side by side, in several grids where the schemes do not fit beside each other."""

    inspection: Inspection

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the grids, and what their cells mean."""
        every = drawn_layers(self.inspection, MOST_LAYERS)
        names = [every[index] for index in both_ends(len(every), MOST_LAYERS)]
        axes = signal_axes(self.inspection, names)
        labels = self._labels(names)
        label = min(max(map(len, labels), default=0), WIDEST_LABEL)
        reports = self.inspection.reports
        cell = max([LEAST_CELL, *(len(_moments(layer_of(r, name))) for r in reports for name in names)])
        fitting = max((options.max_width - label) // (GAP + cell), 1)
        grids = -(-len(reports) // fitting)
        for grid in range(grids):  # as many in one as in the other
            beside = reports[grid * len(reports) // grids : (grid + 1) * len(reports) // grids]
            width = min((options.max_width - label) // len(beside) - GAP, max(WIDEST_CELL, cell))
            yield _grid(names, labels, label, beside, axes, width)
            yield Text()
        yield Line(_legend(axes), "dim", indent="")
        if left_out := len(every) - len(names):
            yield Line(left_out_of(left_out, len(every), "layer"), "dim", indent="")

    def _labels(self, names: list[str]) -> list[str]:
        """Return the names of the layers, with their activations where these differ."""
        rows = {row.name: row for report in reversed(self.inspection.reports) for row in report.layers}
        several = len({rows[name].activation for name in names} - {None}) > 1
        return [rows[name].label if several else name for name in names]


def _grid(
    names: list[str],
    labels: list[str],
    label_width: int,
    reports: tuple[SignalReport, ...],
    axes: dict[str | None, Axis],
    width: int,
) -> Table:
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0), collapse_padding=True)
    table.add_column(width=label_width, overflow="fold")
    for report in reports:
        table.add_column(SchemeName(scheme_name(report)), width=width, header_style="bold")
    for name, label in zip(names, labels, strict=True):
        table.add_row(Text(label, overflow="fold"), *(_cell(layer_of(report, name), axes, width) for report in reports))
    return table


def _cell(row: LayerSignal | None, axes: dict[str | None, Axis], width: int) -> RenderableType:
    """Return the bars over the moments: an odd number of bars, so that the middle of an axis is within one of them."""
    if row is None or row.histogram is None:
        return Text(f"{'(not finite)' if row and row.finite < 1 else NOTHING}\n{_moments(row)}", "dim")
    bars = bar_row(row.histogram, *axes[row.activation], width - 1 + width % 2)
    return Text.assemble((bars, "cyan"), "\n", (_moments(row), "dim"), no_wrap=True)


def _moments(row: LayerSignal | None) -> str:
    return NOTHING if row is None or row.mean is row.std is None else f"{compact(row.mean)} ± {compact(row.std)}"


def _legend(axes: dict[str | None, Axis]) -> str:
    """Return what a cell shows, and from where to where."""
    if not axes:
        return "No histograms: no activation is a finite number."
    ranges = [
        f"{activation or 'without activation'} from {axis_end(low)} to {axis_end(high)}"
        for activation, (low, high) in axes.items()
    ]
    beyond = "; what lies beyond is in the outermost blocks" if set(axes) - set(BOUNDS) else ""
    return f"Each cell: a layer's activations ({', '.join(ranges)}{beyond}), under it their mean ± std."
