"""`initbench schemes`: the catalogue, one scheme explained, and the gains. Answers without torch."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from initbench.cli import arguments
from initbench.cli.arguments import complete_schemes
from initbench.errors import UsageError


class Format(StrEnum):
    """How the catalogue is printed."""

    table = "table"
    md = "md"
    json = "json"


def schemes(
    name: Annotated[
        str | None,
        typer.Argument(help="One scheme to explain: name or name:key=value.", autocompletion=complete_schemes),
    ] = None,
    gains: Annotated[bool, typer.Option("--gains", help="List the gain of every activation, and its origin.")] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="The catalogue as a table, as Markdown or as JSON.")
    ] = Format.table,
    plugin: arguments.Plugins = None,
) -> None:
    """List the catalogue of initialization schemes, explain one, or list the gains."""
    from initbench.cli.consoles import stdout
    from initbench.report.catalogue import catalogue_json, catalogue_markdown, catalogue_view, scheme_view
    from initbench.report.gains_view import gains_view
    from initbench.schemes import parse
    from initbench.schemes.gains import gain_table

    if gains and name:
        raise UsageError(f"--gains lists the gains of all activations; leave out {name!r}, or --gains.")
    if format_ is not Format.table and (gains or name):
        raise UsageError(f"--format {format_.value} is for the whole catalogue; leave out {name or '--gains'}.")
    if format_ is not Format.table:
        typer.echo(catalogue_json() if format_ is Format.json else catalogue_markdown() + "\n", nl=False)
    elif gains:
        stdout().print(gains_view(gain_table()))
    else:
        stdout().print(scheme_view(parse(name)) if name else catalogue_view())
