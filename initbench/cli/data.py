"""`initbench data path|fetch|verify`: where a dataset is, get it, check it."""

from __future__ import annotations

from typing import Annotated

import typer

from initbench.cli.arguments import DataDir
from initbench.errors import DataError

app = typer.Typer(help="Where a dataset is, get it, check it.", no_args_is_help=True)


def complete_datasets(incomplete: str) -> list[str]:
    """Complete the name of a dataset."""
    from initbench.data import datasets

    return [name for name in datasets if name.startswith(incomplete)]


Name = Annotated[
    str, typer.Argument(help="A dataset: mnist, fashion_mnist, kmnist, digits, ...", autocompletion=complete_datasets)
]


@app.command()
def path(name: Name = "mnist", data_dir: DataDir = None) -> None:
    """Print the folder that has the dataset's files. Looks on disk only."""
    from initbench.cli.consoles import warn
    from initbench.data import datasets
    from initbench.data.roots import places

    roots = places(data_dir, warn).roots
    folder = datasets[name].find(roots)
    if folder is None:
        looked = ", ".join(f"'{root}'" for root in roots)
        raise DataError(
            f"{name} is not on disk, or not in files that can be verified (looked in {looked}). "
            f"Get it with `initbench data fetch {name}`."
        )
    typer.echo(folder)


@app.command()
def fetch(name: Name = "mnist", data_dir: DataDir = None) -> None:
    """Download the dataset unless it is on disk already, and print its folder."""
    from initbench.cli.consoles import stderr, warn
    from initbench.cli.progress import Downloads
    from initbench.data import datasets
    from initbench.data.roots import places
    from initbench.events import Downloading

    where = places(data_dir, warn)
    source = datasets[name]
    folder = source.find(where.roots)
    bad = [row for row in source.check(where.roots) if row.status == "bad"]
    if folder is not None and not bad:
        typer.echo(f"{name} is already in {folder}")
        return
    for row in bad:
        warn(f"'{row.path}': {row.problem}")
    if where.download is None:
        raise DataError("there is no folder to download to: this user has no home; give --data-dir or XDG_CACHE_HOME.")
    bars = Downloads(stderr().is_terminal)
    try:
        folder = source.fetch(where.download, warn, lambda *report: bars.report(Downloading(*report)))
    finally:
        bars.stop()
    typer.echo(f"{name} is in {folder}")


@app.command()
def verify(name: Name = "mnist", data_dir: DataDir = None) -> None:
    """Check the dataset's files by their hashes; exit code 1 if any is bad or missing. Changes nothing."""
    from initbench.cli.consoles import stdout, warn
    from initbench.data import datasets
    from initbench.data.roots import places
    from initbench.report.data_view import checks_view

    checks = datasets[name].check(places(data_dir, warn).roots)
    stdout().print(checks_view(name, checks))
    if any(check.status != "ok" for check in checks):
        warn(f"{name} is not complete; `initbench data fetch {name}` sets bad files aside and gets what is missing.")
        raise typer.Exit(1)
