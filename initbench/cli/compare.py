"""`initbench compare`: train several schemes on the same seeds and say which is better, or that nothing can be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from initbench.cli import arguments
from initbench.cli.arguments import complete_schemes
from initbench.cli.output import check_writable, write
from initbench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from initbench.config import Config
    from initbench.results import Comparison

MAX_SEEDS = 100_000
SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)
ADDRESS = re.compile(r"auto|[^\s/:]+:[0-9]{1,5}|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}", re.ASCII)


def complete_formats(incomplete: str) -> list[str]:
    """Complete the name of an export format."""
    from initbench.report import formats

    return [name for name in formats() if name.startswith(incomplete)]


def complete_executors(incomplete: str) -> list[str]:
    """Complete the name of an executor."""
    return [name for name in _executors() if name.startswith(incomplete)]


def compare(
    schemes: Annotated[
        str,
        typer.Option(help="Comma-separated: xavier,he,normal:mean=0:std=0.01.", autocompletion=complete_schemes),
    ],
    config: Annotated[Path | None, typer.Option(help="A YAML config for all but the scheme.", readable=False)] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds each scheme is trained with.")] = 10,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Workers; as many as there are physical cores by default.")
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            help="Where runs are trained: inline, in worker processes, on a Ray cluster; auto: inline for one worker.",
            metavar="auto|inline|processes|ray",
            autocompletion=complete_executors,
        ),
    ] = "auto",
    ray_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|auto", help="The Ray cluster to use; implies --executor ray.")
    ] = None,
    stack: Annotated[int | None, typer.Option(help="Train at most so many models in one stacked computation.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Train the K-th of N parts only, as in an array of jobs: --shard $SLURM_ARRAY_TASK_ID/10.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained, on what, and how long it would take.")
    ] = False,
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

    Runs that the runs folder holds already are not trained again; what was interrupted goes on after its last saved
    epoch. Exit codes: 0 done, 1 a run failed or an error was reported, 2 wrong usage or config, 130 or 143 interrupted.
    """
    from initbench.report import formats
    from initbench.schemes import distinct

    _check_counts(seeds, jobs, target, stack)
    part = _parsed_shard(shard)
    _check_executor(executor, ray_address, jobs)
    loaded = arguments.load(config, set_, no_fallback, epochs=epochs, device=device, limit=limit)
    labels = distinct(label for label in (text.strip() for text in schemes.split(",")) if label)
    _check_format(formats().resolve(format_), "--dry-run" if dry_run else "--shard" if part else "")
    if out:
        check_writable(out)
    how: dict[str, Any] = {
        "config": loaded,
        "seeds": seeds,
        "jobs": jobs or (1 if executor == "inline" else _default_jobs(loaded)),
        "executor": executor,
        "ray_address": ray_address,
        "stack": stack,
        "runs_dir": runs_dir,
        "data_dir": data_dir,
        "fresh": fresh,
    }
    if dry_run:
        failed = _planned_only(labels, how | {"shard": part}, quiet, format_, out)
    elif part:
        failed = _trained_shard(labels, how | {"shard": part}, quiet, format_, out)
    else:
        failed = _compared(labels, how | {"target_accuracy": target}, quiet, format_, out)
    if failed:
        raise typer.Exit(1)


def _compared(labels: Sequence[str], how: dict[str, Any], quiet: bool, format_name: str, out: Path | None) -> bool:
    """Train, compare, print; return whether a run failed."""
    from initbench import bench
    from initbench.cli.progress import CompareDisplay

    with CompareDisplay(quiet) as display:
        comparison = bench.compare(labels, emit=display.emit, **how)
    _show(comparison, format_name, out)
    return any(scheme.failed for scheme in comparison.schemes)


def _trained_shard(labels: Sequence[str], how: dict[str, Any], quiet: bool, format_name: str, out: Path | None) -> bool:
    """Train one shard and print what it holds; return whether a run failed."""
    from initbench import bench
    from initbench.cli.progress import CompareDisplay
    from initbench.cli.shard_view import shard_document, shard_text

    with CompareDisplay(quiet) as display:
        runs = bench.train_shard(labels, emit=display.emit, **how)
    show = shard_document if format_name == "json" else shard_text
    _put(show(how["shard"], runs, how["runs_dir"]), out)
    return any(run.status == "failed" for run in runs)


def _planned_only(labels: Sequence[str], how: dict[str, Any], quiet: bool, format_name: str, out: Path | None) -> bool:
    """Print what would be trained; return that nothing failed."""
    from initbench import bench
    from initbench.cli.consoles import stdout
    from initbench.cli.plan_view import plan_document, plan_text, plan_view
    from initbench.cli.progress import DryRunDisplay

    with DryRunDisplay(quiet) as display:
        planned = bench.expect(labels, emit=display.emit, **how)
    if format_name == "table" and not out:
        stdout().print(plan_view(planned))
    else:
        _put(plan_document(planned) if format_name == "json" else plan_text(planned), out)
    return False


def _check_counts(seeds: int, jobs: int | None, target: float, stack: int | None) -> None:
    if not 1 <= seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds {seeds}: give a number from 1 to {MAX_SEEDS}.")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: give the number of workers, 1 or more.")
    if stack is not None and stack < 1:
        raise UsageError(f"--stack {stack}: give the number of models in one computation, 1 or more.")
    if not 0 <= target <= 1:
        raise UsageError(f"--target {target:g}: give an accuracy as a fraction from 0 to 1, such as 0.97.")


def _parsed_shard(text: str | None) -> tuple[int, int] | None:
    """Return (k, n) of "k/n"; raises UsageError unless 1 <= k <= n."""
    if text is None:
        return None
    matched = SHARD.fullmatch(text)
    part, parts = (int(matched[1]), int(matched[2])) if matched else (0, 0)
    if not 1 <= part <= parts:
        raise UsageError(f"--shard {text}: give K/N with 1 <= K <= N, such as 3/10, the third of ten parts.")
    return part, parts


def _executors() -> list[str]:
    from initbench.execute import executors

    return ["auto", *sorted(executors)]


def _check_executor(name: str, address: str | None, jobs: int | None) -> None:
    """Raise UsageError for an unknown executor, and for options that do not go together with it."""
    from initbench.execute import executors

    if name not in _executors():
        allowed = ", ".join(_executors())
        raise UsageError(f"--executor {name!r}: allowed: {allowed}.{did_you_mean(name, _executors())}")
    if address is not None and not ADDRESS.fullmatch(address):
        raise UsageError(f"--ray-address {address}: give HOST:PORT, such as 10.0.0.5:6379, or auto.")
    if address is not None and name != "auto" and not executors[name].takes_address:
        raise UsageError(f"--ray-address {address}: --executor {name} uses no cluster; leave out one of the two.")
    if address is not None and jobs is not None:
        raise UsageError(f"--jobs {jobs}: the cluster at --ray-address has its own number of CPUs. Leave --jobs out.")
    if name == "inline" and jobs is not None and jobs > 1:
        raise UsageError(f"--jobs {jobs}: --executor inline is this one process. Use --executor processes.")


def _check_format(name: str, option: str) -> None:
    """Raise UsageError for an export of a comparison, where `option` ("" for none) makes that there is none."""
    if option and name not in ("table", "json"):
        raise UsageError(
            f"--format {name}: with {option} there is no comparison to write down; table and json say what there is."
        )


def _default_jobs(config: Config) -> int:
    """Return how many workers of train.threads threads the cores of this process hold; 1 where a GPU does the work."""
    from initbench.cores import available_cores
    from initbench.training.devices import resolve_device

    if resolve_device(config.device).type != "cpu":
        return 1
    return max(1, available_cores() // config.train.threads)


def _put(text: str, out: Path | None) -> None:
    if out:
        write(out, text)
    else:
        typer.echo(text, nl=False)


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
