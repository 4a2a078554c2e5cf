"""`initbench runs replay`: whether a run comes out the same when it is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from initbench.cli import arguments
from initbench.cli.run import Format
from initbench.cli.runs.which import Which, readable_run


def replay(
    run: Which,
    runs_dir: arguments.RunsDir = Path("runs"),
    data_dir: arguments.DataDir = None,
    plugin: arguments.Plugins = None,
    quiet: arguments.Quiet = False,
    format_: Annotated[Format, typer.Option("--format", help="table, or json: one document.")] = Format.table,
) -> None:
    """Train a stored run again, keep nothing, and say whether every number and every weight has the same bits.

    Where they differ (exit code 1) it says what differs first, by how much, and what is different on this machine.

    Seconds and recorded signals are not compared.
    """
    found = readable_run(run, runs_dir)
    from initbench.cli.consoles import stdout
    from initbench.cli.progress import RunDisplay
    from initbench.replaying import replay as train_again
    from initbench.report.replay_view import replay_document, replay_view

    with RunDisplay(quiet) as display:
        replayed = train_again(found, data_dir, display.emit)
    if format_ is Format.json:
        typer.echo(replay_document(replayed), nl=False)
    else:
        stdout().print(replay_view(replayed))
    if not replayed.agrees:
        raise typer.Exit(1)
