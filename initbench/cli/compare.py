"""`initbench compare`: train several schemes on the same seeds and say which is better, or that nothing can be seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.cli import arguments
from initbench.cli.arguments import complete_schemes
from initbench.cli.output import check_writable, write
from initbench.errors import UsageError

if TYPE_CHECKING:
    from initbench.config import Config
    from initbench.results import Comparison

MAX_SEEDS = 100_000


def complete_formats(incomplete: str) -> list[str]:
    """Complete the name of an export format."""
    from initbench.report import formats

    return [name for name in formats() if name.startswith(incomplete)]


def compare(
    schemes: Annotated[
        str,
        typer.Option(help="Comma-separated: xavier,he,normal:mean=0:std=0.01.", autocompletion=complete_schemes),
    ],
    config: Annotated[Path | None, typer.Option(help="A YAML config for all but the scheme.", readable=False)] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds each scheme is trained with.")] = 10,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Worker processes; as many as cores by default.")
    ] = None,
    target: Annotated[float, typer.Option(help="The accuracy for 'epochs to target'.")] = 0.97,
    set_: arguments.Overrides = None,
    plugin: arguments.Plugins = None,
    epochs: arguments.Epochs = None,
    device: arguments.Device = None,
    limit: arguments.Limit = None,
    no_fallback: arguments.NoFallback = False,
    data_dir: arguments.DataDir = None,
    runs_dir: arguments.RunsDir = Path("runs"),
    fresh: arguments.Fresh = False,
    quiet: arguments.Quiet = False,
    format_: Annotated[
        str,
        typer.Option(
            "--format", help="table, or an export such as json, csv, md, latex, svg.", autocompletion=complete_formats
        ),
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write the result to this file instead of stdout.")] = None,
) -> None:
    """Compare schemes on paired seeds: means with intervals, paired differences, a verdict in words.

    Runs that the runs folder holds already are not trained again.
    """
    from initbench.report import formats
    from initbench.schemes import distinct

    _check_counts(seeds, jobs, target)
    loaded = arguments.load(config, set_, no_fallback, epochs=epochs, device=device, limit=limit)
    labels = distinct(label for label in (part.strip() for part in schemes.split(",")) if label)
    formats().resolve(format_)
    if out:
        check_writable(out)
    from initbench import bench
    from initbench.cli.progress import CompareDisplay

    with CompareDisplay(quiet) as display:
        comparison = bench.compare(
            labels,
            config=loaded,
            seeds=seeds,
            jobs=jobs or _default_jobs(loaded),
            target_accuracy=target,
            runs_dir=runs_dir,
            data_dir=data_dir,
            fresh=fresh,
            emit=display.emit,
        )
    _show(comparison, format_, out)
    if any(scheme.failed for scheme in comparison.schemes):
        raise typer.Exit(1)


def _check_counts(seeds: int, jobs: int | None, target: float) -> None:
    if not 1 <= seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds {seeds}: give a number from 1 to {MAX_SEEDS}.")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: give the number of worker processes, 1 or more.")
    if not 0 <= target <= 1:
        raise UsageError(f"--target {target:g}: give an accuracy as a fraction from 0 to 1, such as 0.97.")


def _default_jobs(config: Config) -> int:
    """Return how many workers of train.threads threads the cores of this process hold; 1 where a GPU does the work."""
    from initbench.training.devices import resolve_device

    if resolve_device(config.device).type != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // config.train.threads)


def _show(comparison: Comparison, format_name: str, out: Path | None) -> None:
    from initbench.cli.consoles import stdout
    from initbench.report import render
    from initbench.report.terminal import comparison_view

    if out:
        write(out, render(comparison, format_name))
    elif format_name == "table":  # as wide and as colourful as this terminal is
        stdout().print(comparison_view(comparison))
    else:
        typer.echo(render(comparison, format_name), nl=False)
