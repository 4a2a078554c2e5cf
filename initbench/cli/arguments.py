"""The arguments and options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer


def complete_schemes(incomplete: str) -> Iterator[str]:
    """Complete the last name of a comma-separated list of schemes."""
    from initbench.schemes import schemes

    before, comma, last = incomplete.rpartition(",")
    return (f"{before}{comma}{name}" for name in schemes.all_names() if name.startswith(last))


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a config value, for example train.lr=0.01. Repeatable."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs to train (train.epochs).")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:<i>.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Train and test on so few images only (data.limit).")]
NoFallback = Annotated[
    bool, typer.Option("--no-fallback", help="Fail where the dataset cannot be had, instead of using the stand-in.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="A folder in torchvision's layout to look for the dataset in first.", file_okay=True),
]
RunsDir = Annotated[Path, typer.Option(help="Where results are kept.", envvar="INITBENCH_RUNS")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Train also what the runs folder holds already.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and the result.")]


def overrides(
    given: list[str] | None,
    *,
    scheme: str | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    device: str | None = None,
    limit: int | None = None,
    no_fallback: bool = False,
) -> list[str]:
    """Return the --set overrides with those of the named options behind them: the last one wins."""
    named = {
        "init.scheme": scheme,
        "seed": seed,
        "train.epochs": epochs,
        "device": device,
        "data.limit": limit,
        "data.fallback": "none" if no_fallback else None,
    }
    return [*(given or []), *(f"{key}={value}" for key, value in named.items() if value is not None)]
