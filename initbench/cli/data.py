"""`initbench data path|fetch|verify`: where a dataset is, get it, check it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from initbench.cli.arguments import DataDir
from initbench.cli.consoles import stderr, stdout
from initbench.cli.progress import Downloads
from initbench.data import FileCheck, datasets
from initbench.data.roots import places
from initbench.errors import DataError
from initbench.events import Downloading

app = typer.Typer(help="Where a dataset is, get it, check it.", no_args_is_help=True)


def _complete(incomplete: str) -> list[str]:
    return [name for name in datasets if name.startswith(incomplete)]


Name = Annotated[str, typer.Argument(help=f"One of {', '.join(sorted(datasets))}.", autocompletion=_complete)]


@app.command()
def path(name: Name = "mnist", data_dir: DataDir = None) -> None:
    """Print the folder that has the dataset's files. Looks on disk only."""
    roots = places(data_dir, _warn).roots
    folder = datasets[name].find(roots)
    if folder is None:
        looked = ", ".join(f"'{root}'" for root in roots)
        raise DataError(
            f"{name} is not on disk, or not in files that can be verified (looked in {looked}). "
            f"Get it with `initbench data fetch {name}`."
        )
    typer.echo(folder)


@app.command()
def fetch(name: Name = "mnist", data_dir: DataDir = None) -> None:
    """Download the dataset unless it is on disk already, and print its folder."""
    where = places(data_dir, _warn)
    source = datasets[name]
    folder = source.find(where.roots)
    bad = [row for row in source.check(where.roots) if row.status == "bad"]
    if folder is not None and not bad:
        typer.echo(f"{name} is already in {folder}")
        return
    for row in bad:
        _warn(f"'{row.path}': {row.problem}")
    if where.download is None:
        raise DataError("there is no folder to download to: this user has no home; give --data-dir or XDG_CACHE_HOME.")
    bars = Downloads(stderr().is_terminal)
    try:
        folder = source.fetch(where.download, _warn, lambda *report: bars.report(Downloading(*report)))
    finally:
        bars.stop()
    typer.echo(f"{name} is in {folder}")


@app.command()
def verify(name: Name = "mnist", data_dir: DataDir = None) -> None:
    """Check the dataset's files by their hashes; exit code 1 if any is bad or missing. Changes nothing."""
    rows = datasets[name].check(places(data_dir, _warn).roots)
    stdout().print(_table(name, rows))
    if any(row.status != "ok" for row in rows):
        _warn(f"{name} is not complete; `initbench data fetch {name}` sets bad files aside and gets what is missing.")
        raise typer.Exit(1)


STYLES = {"ok": "green", "bad": "red", "missing": "yellow"}


def _table(name: str, rows: list[FileCheck]) -> Table:
    columns = Column("file", overflow="fold"), Column("checked", no_wrap=True), Column("status", overflow="fold")
    table = Table(*columns, title=escape(f"{name} in {rows[0].path.parent}"), title_justify="left")
    for row in rows:
        status = f"[{STYLES[row.status]}]{row.status}[/]" + (f": {escape(row.problem)}" if row.problem else "")
        table.add_row(escape(row.path.name), row.checked, status)
    return table


def _warn(message: str) -> None:
    stderr().print(f"[yellow]{escape(message)}[/]", soft_wrap=True)
