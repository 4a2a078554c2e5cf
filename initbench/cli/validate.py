"""`initbench validate`: print a config with every default filled in, or everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from initbench.cli import arguments


def validate(
    config: Annotated[Path, typer.Argument(help="The YAML file to check.", show_default=False, readable=False)],
    set_: arguments.Overrides = None,
    plugin: arguments.Plugins = None,
) -> None:
    """Print the resolved config as YAML, every default filled in, or say what is wrong and where."""
    from initbench.config import load_config

    typer.echo(load_config(config, set_ or ()).to_yaml(), nl=False)
