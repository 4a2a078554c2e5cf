"""A comparison in the terminal: the scheme table, under it each pair's verdict, and the warnings.

Readable from 80 columns on, on dark and light backgrounds: only bold, dim, green, red and cyan are used. All texts are
shown as they are, never read as Rich markup.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from initbench.report import cells
from initbench.results import Comparison, DatasetInfo, PairedDifference, shown

# what a line break would tear apart
_GROUP = re.compile(r"no difference detected \(n=\d+\)|\[[^\]]*\]|\([^)]{,24}\)|\S+ points")
_GLUE = "\N{NO-BREAK SPACE}"
_PART = re.compile(r"[^:]*:?")  # of a scheme's name: it may break after a colon


def comparison_view(comparison: Comparison) -> RenderableType:
    """Return what `compare` shows: what was measured, the scheme table, how, the verdicts, the warnings."""
    comparison = shown(comparison)
    parts: list[RenderableType] = [
        *stand_in_notice(comparison.dataset),
        Line(cells.caption(comparison), "bold", indent=""),
        Text(),
        SchemeTable(comparison),
        Line(cells.method(comparison), "dim", indent=""),
    ]
    if comparison.pairs:
        parts += [Text(), *map(_verdict, comparison.pairs)]
    if comparison.warnings:
        parts += [Text(), *(Line(f"warning: {warning}", "red") for warning in comparison.warnings)]
    return Group(*parts)


def stand_in_notice(dataset: DatasetInfo) -> list[RenderableType]:
    """Return a loud line where `dataset` stands in for another one, nothing where it does not."""
    if dataset.stand_in_for is None:
        return []
    text = f"STAND-IN DATA: this is {dataset.name} in place of {dataset.stand_in_for}. No number is about "
    return [Line(f"{text}{dataset.stand_in_for}.", "bold red")]


@dataclass(frozen=True)
class Line:
    """A text that is broken between its words, never within an interval, with its further lines indented."""

    text: str
    style: str = ""
    indent: str = "    "

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the text broken to the width that there is."""
        glued = _GROUP.sub(lambda group: group[0].replace(" ", _GLUE), self.text)
        width = max(options.max_width, 2 * len(self.indent))
        lines = textwrap.wrap(glued, width, subsequent_indent=self.indent, break_on_hyphens=False)
        yield Text("\n".join(lines).replace(_GLUE, " "), self.style, no_wrap=True)


@dataclass(frozen=True)
class SchemeTable:
    """A row for each scheme; one that is better than every other, and lost no run, is highlighted.

    Numbers are never cut. Where they do not all fit beside the scheme's name, whole columns go, the least needed first.
    """

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table with the columns that fit."""
        names, *numbers = _fitting(cells.columns(self.comparison), options.max_width)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column(names.short)
        for column in numbers:
            table.add_column(column.short, justify="right", no_wrap=True, min_width=_width(column))
        winner = _better_than_all(self.comparison)
        for name, *row in zip(names.cells, *(column.cells for column in numbers), strict=True):
            table.add_row(SchemeName(name), *map(Text, row), style="bold green" if name == winner else "")
        yield table


@dataclass(frozen=True)
class SchemeName:
    """A scheme with its parameters, broken after a colon where it does not fit on one line."""

    name: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the widths between which the name can be set."""
        return Measurement(max(map(len, _PART.findall(self.name))), len(self.name)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the name, as many of its parts on a line as fit."""
        lines = [""]
        for part in _PART.findall(self.name):
            fits = len(lines[-1]) + len(part) <= options.max_width
            lines = [*lines[:-1], lines[-1] + part] if fits else [*lines, part]
        yield Text("\n".join(filter(None, lines)), overflow="fold")


def _fitting(columns: tuple[cells.Column, ...], width: int) -> list[cells.Column]:
    """Return the columns that fit into `width`, with at least the widest part of a name in the first."""
    kept = list(columns)
    for dispensable in ("min-max", "s/run", "init s", "epochs"):
        part = max(len(part) for name in kept[0].cells for part in _PART.findall(name))
        if min(part, 24) + sum(map(_width, kept[1:])) + 2 * (len(kept) - 1) <= width:
            break
        kept = [column for column in kept if not column.short.startswith(dispensable)]
    return kept


def _width(column: cells.Column) -> int:
    return max(map(len, (*column.short.splitlines(), *column.cells)))


def _verdict(pair: PairedDifference) -> Line:
    return Line(pair.verdict, "green" if pair.better else "")


def _better_than_all(comparison: Comparison) -> str | None:
    """Return the scheme whose every difference was detected and that finished every run: a mean alone never wins."""
    for scheme in comparison.schemes:
        own = [pair.better for pair in comparison.pairs if scheme.scheme in (pair.a, pair.b)]
        complete = scheme.n == len(scheme.runs)
        if own and complete and all(better == scheme.scheme for better in own):
            return scheme.scheme
    return None
