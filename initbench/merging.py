"""Put the runs of other runs folders (the shards of a comparison, another machine's) into this one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initbench.checksums import mismatch
from initbench.errors import StoreError, UsageError
from initbench.results import RunResult
from initbench.store import Broken, Store
from initbench.store.reading import read_run, read_run_files

FOLDER_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,220}-[0-9a-f]{16}")  # what a store calls its folders


@dataclass(frozen=True)
class Differing:
    """A run that both have, with different numbers: the arithmetic of another machine. `kept` stays as it is."""

    kept: Path
    other: Path


@dataclass(frozen=True)
class Merged:
    """What a merge came to: the runs that were copied, how many were there already, and what was left out."""

    runs: tuple[RunResult, ...]
    present: int
    differing: tuple[Differing, ...]
    broken: tuple[Broken, ...]


def merge(sources: Sequence[Path], store: Store) -> Merged:
    """Copy the runs of the `sources` into `store`, each whole or not at all, and leave the sources as they are.

    A run that is there already stays, unless it failed and the other did not. Raises UsageError, before anything is
    copied, for a source that is no folder or the store's own, and StoreError where the disk does not do its part.
    """
    for source in sources:
        _check_source(source, store)
    here = {run.run_id: run for run in store.runs() if isinstance(run, RunResult)}
    copied: dict[str, RunResult] = {}
    differing: list[Differing] = []
    broken: list[Broken] = []
    present = 0
    for folder in (folder for source in sources for folder in _run_folders(source)):
        run = _read_run(folder)
        if isinstance(run, Broken):
            broken.append(run)
        elif (mine := here.get(run.run_id)) and not (mine.status == "failed" and run.status != "failed"):
            present += 1
            if numbers(mine) != numbers(run):
                differing.append(Differing(Path(mine.run_dir or ""), folder))
        elif isinstance(files := read_run_files(folder), Broken):
            broken.append(files)
        elif damage := mismatch(files):
            broken.append(Broken(folder, damage))
        else:
            here[run.run_id] = copied[run.run_id] = store.keep(folder.name, run, files)
    return Merged(tuple(copied.values()), present, tuple(differing), tuple(broken))


def numbers(run: RunResult) -> Any:
    """Return what two executions of the same run must agree on: how it ended, and every number but the times."""
    history = [row.model_dump(exclude={"seconds"}) for row in run.history]
    return run.status, run.test_accuracy, run.divergence, history


def _check_source(source: Path, store: Store) -> None:
    if not source.is_dir():
        problem = "is not there" if not source.exists() else "is no folder"
        raise UsageError(f"{str(source)!r} {problem}; name the runs folders whose runs are to be merged.")
    if source.resolve() == store.root.resolve():
        raise UsageError(f"{str(source)!r} is the runs folder that would be merged into; name the others.")


def _run_folders(source: Path) -> list[Path]:
    """Return what looks like a run of another store, in the order of the names."""
    try:
        names = os.listdir(source)  # noqa: PTH208 # names, not paths
    except OSError as error:
        raise StoreError(f"{str(source)!r}: {error.strerror or error}.") from error
    return [source / name for name in sorted(names) if re.search("(?<![0-9a-f])[0-9a-f]{16}$", name) and name[0] != "."]


def _read_run(folder: Path) -> RunResult | Broken:
    """Return a run's result, or why its folder is not one that may be copied: whoever made it chose its name."""
    run = read_run(folder)
    if isinstance(run, RunResult) and not FOLDER_NAME.fullmatch(folder.name):
        return Broken(folder, f"its name is not one of run {run.run_id!r}")
    return run
