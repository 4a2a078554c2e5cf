"""What a verification of a dataset's files found, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.data import FileCheck

STYLES = {"ok": "green", "bad": "bold red", "missing": "red"}


def checks_view(name: str, checks: Sequence[FileCheck]) -> RenderableType:
    """Return where the dataset was looked at, and a row for each file: what it was checked by, what was found."""
    folders = " ".join(sorted({str(check.path.parent) for check in checks}))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("checked", no_wrap=True)
    table.add_column("status", overflow="fold")
    for check in checks:
        status = check.status + (f": {check.problem}" if check.problem else "")
        table.add_row(Text(check.path.name), check.checked, Text(status, STYLES[check.status]))
    return Group(Text(f"{name} in {folders}", "bold", overflow="fold"), table)
