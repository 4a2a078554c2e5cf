"""What a verification of a dataset's files found, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from initbench.data import FileCheck

STYLES = {"ok": "green", "bad": "bold red", "missing": "red"}


def checks_table(name: str, checks: Sequence[FileCheck]) -> Table:
    """Return a row for each file: what it was checked by, and what was found."""
    folders = " ".join(sorted({str(check.path.parent) for check in checks}))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.title, table.title_justify = Text(f"{name} in {folders}"), "left"
    table.add_column("file", overflow="fold")
    table.add_column("checked", no_wrap=True)
    table.add_column("status", overflow="fold")
    for check in checks:
        status = check.status + (f": {check.problem}" if check.problem else "")
        table.add_row(Text(check.path.name), check.checked, Text(status, STYLES[check.status]))
    return table
