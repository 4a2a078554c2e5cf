"""`initbench runs remove`: delete a run."""

from __future__ import annotations

from pathlib import Path

import typer

from initbench.cli import arguments
from initbench.cli.runs.which import Which, folder_of, one_run


def remove(run: Which, runs_dir: arguments.RunsDir = Path("runs")) -> None:
    """Delete one run's folder, or what is kept of an unfinished run."""
    from initbench.results import printable
    from initbench.store import Store

    store = Store(runs_dir)
    if not store.match(run) and (name := store.match_unfinished(run)):
        store.remove_unfinished(name)
        typer.echo(printable(f"removed what was kept of the unfinished run {run}"))
        return
    path = folder_of(one_run(run, runs_dir))
    store.remove(path)
    typer.echo(printable(f"removed {path}"))
