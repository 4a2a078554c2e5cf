"""`initbench runs list`: the finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from initbench.cli import arguments
from initbench.cli.run import Format


def list_runs(
    runs_dir: arguments.RunsDir = Path("runs"),
    format_: Annotated[Format, typer.Option("--format", help="table, or json: a list of results.")] = Format.table,
) -> None:
    """List the finished runs, and what is unfinished. A run that cannot be read is named on stderr and skipped."""
    from initbench.cli.consoles import stdout, warn
    from initbench.report.run_view import runs_table
    from initbench.results import document
    from initbench.store import Broken, Store

    store = Store(runs_dir)
    found, unfinished = list(store.runs()), store.unfinished()
    results = [run for run in found if not isinstance(run, Broken)]
    if format_ is Format.json:
        typer.echo(document([run.model_dump(mode="json") for run in results]), nl=False)
    elif results or unfinished:
        stdout().print(runs_table(results, list(unfinished.values())))
    else:
        typer.echo(f"no runs in {runs_dir}")
    for run in found:
        if isinstance(run, Broken):
            warn(f"skipped {run.path.name}: {run.reason}")
