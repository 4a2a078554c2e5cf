"""A table whose numbers are never cut: columns that do not fit go to a further table under the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from initbench.report.compact import left_out_of
from initbench.report.signal_axes import both_ends
from initbench.report.terminal import Line

GAP = 2
WIDEST_NAME = 26
MOST_ROWS = 24


class NumberColumn(NamedTuple):
    """A heading, of one or two lines, and a cell for each row."""

    heading: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        """Return the width of the widest of all of them."""
        return max(map(len, (*self.heading.splitlines(), *self.cells)))


@dataclass(frozen=True)
class WideTable:
    """Rows named in the first column, then right-aligned columns; long names fold, many rows are thinned out."""

    heading: str
    names: tuple[str, ...]
    columns: tuple[NumberColumn, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield as many tables under each other as the width asks for."""
        name_width = self._name_width
        rows = both_ends(len(self.names), MOST_ROWS)
        for index, columns in enumerate(_packed(self.columns, options.max_width - name_width)):
            if index:
                yield Text()
            yield self._table(columns, name_width, rows)
        if left_out := len(self.names) - len(rows):
            yield Line(left_out_of(left_out, len(self.names), "row"), "dim", "")

    def fits(self, width: int) -> bool:
        """Return whether all columns stand beside each other in `width`."""
        return len(_packed(self.columns, width - self._name_width)) == 1

    @property
    def _name_width(self) -> int:
        return min(max(map(len, (self.heading, *self.names))), WIDEST_NAME)

    def _table(self, columns: Sequence[NumberColumn], name_width: int, rows: Sequence[int]) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
        )
        table.add_column(self.heading, width=name_width, overflow="fold", vertical="bottom")
        for column in columns:
            table.add_column(column.heading, justify="right", no_wrap=True, width=column.width, vertical="top")
        for row in rows:
            table.add_row(Text(self.names[row], overflow="fold"), *(Text(column.cells[row]) for column in columns))
        return table


def _packed(columns: Sequence[NumberColumn], width: int) -> list[list[NumberColumn]]:
    """Return the columns in their order, in groups that fit into `width` each."""
    groups: list[list[NumberColumn]] = [[]]
    for column in columns:
        if groups[-1] and sum(found.width + GAP for found in (*groups[-1], column)) > width:
            groups.append([])
        groups[-1].append(column)
    return groups
