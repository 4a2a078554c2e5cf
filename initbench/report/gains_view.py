"""The gains in the terminal: the one in use for each activation, where it is from, and what quadrature gives."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.schemes.gains import QUADRATURE_ORIGIN, GainRow

NOTE = (
    f"quadrature is {QUADRATURE_ORIGIN}, z ~ N(0, 1): with weights of std gain/sqrt(fan_in), pre-activations of unit"
    " variance keep it in the next layer. torch's gains for sigmoid, tanh and selu follow other conventions."
)


def gains_view(rows: Iterable[GainRow]) -> RenderableType:
    """Return a row for each activation, and what the last column means."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("activation", style="bold cyan", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("origin", overflow="fold")
    table.add_column("quadrature", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.activation, f"{row.gain:.6f}", Text(row.origin), f"{row.quadrature:.6f}")
    return Group(table, Text(), Text(NOTE, "dim"))
