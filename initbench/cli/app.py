"""The program: all commands under one name, its errors as one red line, its exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated

import typer

from initbench import __version__
from initbench.cli import data, interrupts, runs
from initbench.cli.compare import compare
from initbench.cli.conformance import conformance
from initbench.cli.inspect import inspect
from initbench.cli.run import run
from initbench.cli.schemes import schemes
from initbench.cli.validate import validate
from initbench.errors import ConfigError, InitbenchError

app = typer.Typer(
    name="initbench",
    help="How should this network's weights start? Train initialization schemes on paired seeds and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps its plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run)
app.command("compare")(compare)
app.command("inspect")(inspect)
app.command("schemes")(schemes)
app.command("conformance")(conformance)
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
app.command("validate")(validate)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"initbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def main() -> None:
    """Run the program. Exit codes: 0 done, 1 a run failed or an error was reported, 2 usage, 130 / 143 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ² shows ?
    with interrupts.obeyed():
        try:
            app()
        except InitbenchError as error:
            # a config's problems begin with file:line:column, which editors find by
            text = str(error) if isinstance(error, ConfigError) else f"error: {error}"
            typer.secho(_harmless(text), fg="red", err=True)
            sys.exit(error.exit_code)
        except SystemExit as end:
            if end.code in interrupts.CODES:
                typer.echo(interrupts.hint(), err=True)
            raise
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has nowhere to go
            typer.secho(f"error: the output cannot be written: {error.strerror}.", fg="red", err=True)
            sys.exit(1)


def _harmless(text: str) -> str:
    """Return the lines of an error without what steers a terminal: names of others' making may be in it."""
    from initbench.results import printable

    return "\n".join(map(printable, text.split("\n")))
