"""The arguments and options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.errors import ConfigError

if TYPE_CHECKING:
    from initbench.config import Config


def complete_schemes(incomplete: str) -> Iterator[str]:
    """Complete the last name of a comma-separated list of schemes."""
    from initbench.schemes import schemes

    before, comma, last = incomplete.rpartition(",")
    return (f"{before}{comma}{name}" for name in schemes.all_names() if name.startswith(last))


def _load_plugins(paths: list[Path] | None) -> list[Path] | None:
    from initbench.plugins import load_plugins

    load_plugins(paths or ())
    return paths


Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="Import this Python file first: schemes and models of yours. Repeatable.",
        callback=_load_plugins,
        is_eager=True,  # before the names that it registers are looked up
        readable=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a config value, for example train.lr=0.01. Repeatable."),
]
Epochs = Annotated[int | None, typer.Option(help="Epochs to train (train.epochs).")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:<i>.")]
Limit = Annotated[int | None, typer.Option(help="Train and test on so few images only (data.limit).")]
NoFallback = Annotated[
    bool, typer.Option("--no-fallback", help="Fail where the dataset cannot be had, instead of using the stand-in.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="A folder in torchvision's layout to look for the dataset in first.", readable=False),
]
RunsDir = Annotated[Path, typer.Option(help="Where results are kept.", envvar="INITBENCH_RUNS", readable=False)]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Train also what the runs folder holds already, finished or begun.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and the result.")]


NAMED = {
    "scheme": "init.scheme",
    "seed": "seed",
    "epochs": "train.epochs",
    "device": "device",
    "limit": "data.limit",
    "input": "inspect.input",
    "samples": "inspect.samples",
}


def load(config: Path | None, overrides: list[str] | None, no_fallback: bool, **named: str | int | None) -> Config:
    """Return the config with the --set overrides, and behind them those of the named options: the last one wins.

    Raises ConfigError; what it says of a named option it says of the option that was typed.
    """
    from initbench.config import load_config

    given = {name: value for name, value in named.items() if value is not None}
    extra = [f"{NAMED[name]}={value}" for name, value in given.items()]
    try:
        return load_config(config, [*(overrides or []), *extra, *(["data.fallback=none"] if no_fallback else [])])
    except ConfigError as error:
        text = str(error)
        for name, value in given.items():
            text = text.replace(f"--set {NAMED[name]}={value}: {NAMED[name]}: ", f"--{name} {value}: ")
        raise ConfigError(text) from None
