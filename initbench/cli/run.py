"""`initbench run`: train one config once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from initbench.cli import arguments
from initbench.cli.arguments import complete_schemes


class Format(StrEnum):
    """How a single result is printed."""

    table = "table"
    json = "json"


def run(
    config: Annotated[Path, typer.Argument(help="A YAML config, for example configs/xavier.yaml.", readable=False)],
    set_: arguments.Overrides = None,
    plugin: arguments.Plugins = None,
    scheme: Annotated[
        str | None, typer.Option(help="The scheme: name or name:key=value:key=value.", autocompletion=complete_schemes)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of every random stream.")] = None,
    epochs: arguments.Epochs = None,
    device: arguments.Device = None,
    limit: arguments.Limit = None,
    no_fallback: arguments.NoFallback = False,
    data_dir: arguments.DataDir = None,
    runs_dir: arguments.RunsDir = Path("runs"),
    fresh: arguments.Fresh = False,
    quiet: arguments.Quiet = False,
    format_: Annotated[Format, typer.Option("--format", help="table, or json: one document on stdout.")] = Format.table,
) -> None:
    """Train one config once and log every epoch.

    A run that the runs folder holds already (same config, seed, data and versions) is shown, not trained again; one
    that was interrupted goes on after its last saved epoch. Exit codes: 0 done, 1 the run failed or an error was
    reported, 2 wrong usage or config, 130 or 143 interrupted.
    """
    loaded = arguments.load(
        config, set_, no_fallback, scheme=scheme, seed=seed, epochs=epochs, device=device, limit=limit
    )
    from initbench import bench
    from initbench.cli.consoles import stdout
    from initbench.cli.progress import RunDisplay
    from initbench.report.as_json import document
    from initbench.report.run_view import outcome

    with RunDisplay(quiet) as display:
        result = bench.run(loaded, runs_dir=runs_dir, data_dir=data_dir, fresh=fresh, emit=display.emit)
    if format_ is Format.json:
        typer.echo(document(result), nl=False)
    else:
        stdout().print(outcome(result))
    if result.status == "failed":
        raise typer.Exit(1)
