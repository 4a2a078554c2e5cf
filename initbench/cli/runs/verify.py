"""`initbench runs verify`: whether stored runs are what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from initbench.cli import arguments
from initbench.cli.run import Format
from initbench.cli.runs.which import folder_of, one_run
from initbench.errors import UsageError


def verify(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run's folder name, or four or more digits of its id. Default: all."),
    ] = None,
    runs_dir: arguments.RunsDir = Path("runs"),
    data_dir: arguments.DataDir = None,
    plugin: arguments.Plugins = None,
    format_: Annotated[Format, typer.Option("--format", help="table, or json: one document.")] = Format.table,
) -> None:
    """Check the files of stored runs against their checksums, against each other, and against this machine's data.

    Exit code 1 if anything is damaged. Nothing is changed or downloaded.

    This finds damage, not forgery: who changes a file can write its checksum anew. `runs replay` finds more.
    """
    from initbench.cli.consoles import stdout, warn
    from initbench.report.verification_view import verification_document, verification_view
    from initbench.store import Store
    from initbench.verification import verify as verify_runs

    if not runs_dir.is_dir():
        raise UsageError(f"--runs-dir {str(runs_dir)!r}: there is no such folder.")
    found = Store(runs_dir).runs() if run is None else [one_run(run, runs_dir)]
    verified = list(verify_runs(map(folder_of, found), data_dir, warn))
    if format_ is Format.json:
        typer.echo(verification_document(verified, runs_dir), nl=False)
    elif verified:
        stdout().print(verification_view(verified))
    else:
        typer.echo(f"no runs in {runs_dir}")
    if any(one.failed for one in verified):
        raise typer.Exit(1)
