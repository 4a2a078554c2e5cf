"""`initbench schemes`: the catalogue, and one scheme explained. Answers without torch."""

from __future__ import annotations

from typing import Annotated

import typer

from initbench.cli.arguments import complete_schemes


def schemes(
    name: Annotated[
        str | None,
        typer.Argument(help="One scheme to explain: name or name:key=value.", autocompletion=complete_schemes),
    ] = None,
) -> None:
    """List the catalogue of initialization schemes, or explain one."""
    from initbench.cli.consoles import stdout
    from initbench.report.catalogue import catalogue_view, scheme_view
    from initbench.schemes import parse

    stdout().print(scheme_view(parse(name)) if name else catalogue_view())
