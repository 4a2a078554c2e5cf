"""Why runs that are there, and look like those that are asked for, are not taken for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from initbench.errors import StoreError
from initbench.identity import differences
from initbench.results import RunResult
from initbench.store import Broken, Store
from initbench.store.opening import read_file
from initbench.store.reading import damage, read_run
from initbench.store.strict_json import parse_json
from initbench.work import Job

MOST_TOLD = 4  # differences that are named
MOST_READ = 4  # finished runs of one scheme and seed that are looked at


def why_not(jobs: Sequence[Job], store: Store) -> list[str]:
    """Return a line on what is unfinished and one on what is finished, where that is another run than those of `jobs`.

    Of what is finished only those are told of whose config is the same: that another learning rate makes another run
    goes without saying, but not that another version of torch does.
    """
    lines = (
        _line("is not continued", "are not continued", list(_unfinished(jobs, store))),
        _line("is not reused", "are not reused", list(_finished(jobs, store))),
    )
    return [line for line in lines if line]


def not_reusable(job: Job, run: RunResult | Broken) -> str:
    """Return why what is stored under the id of a job's run is not taken for it, "" where it is.

    A failed run is none to be reused, which goes without saying. Raises StoreError for what must not be replaced.
    """
    if isinstance(run, Broken):
        if run.precious:
            raise StoreError(
                f"{run.path} is in the way: {run.reason}. Move it, or choose another folder with --runs-dir."
            )
        return run.reason
    if not job.describes(run):
        return "what it says of itself is not this run"
    return damage(Path(run.run_dir or ""), run)


def _line(one: str, many: str, found: Sequence[tuple[str, list[str]]]) -> str:
    """Return what is said of runs, each with why it is another one."""
    if not found:
        return ""
    what, reasons = found[0]
    because = "; ".join(reasons if len(reasons) <= MOST_TOLD else [*reasons[: MOST_TOLD - 1], reasons[-1]])
    if len(found) == 1:
        return f"{what} {one}: {because}."
    return f"{len(found)} such runs {many}, among them {what}: {because}."


def _unfinished(jobs: Sequence[Job], store: Store) -> Iterator[tuple[str, list[str]]]:
    tasks = store.unfinished()
    known = {run.run_id for task in tasks.values() for run in task.runs}
    others = defaultdict(list)
    for task in tasks.values():
        for run in task.runs:
            others[run.scheme, run.seed].append((task, run))
    for job in jobs:
        if job.run_id in known:
            continue
        for task, run in others[job.scheme, job.config.seed][:1]:
            what = f"the unfinished run of {run.scheme}, seed {run.seed} ({task.epoch} of {task.epochs} epochs),"
            if reasons := differences(run.identity, job.identity.parts):
                yield what, [*reasons, f"`initbench runs remove {run.run_id[:8]}` forgets it"]


def _finished(jobs: Sequence[Job], store: Store) -> Iterator[tuple[str, list[str]]]:
    folders = defaultdict(list)
    for folder in store.folders():
        folders[folder.name[:-16]].append(folder)
    for job in jobs:
        for folder in folders[job.folder[:-16]][-MOST_READ:]:
            run = read_run(folder)
            same = isinstance(run, RunResult) and run.status != "failed" and run.config == job.config.to_dict()
            if same and (there := _identity(folder)) and there != job.identity.parts:
                yield f"the finished run {folder.name}", differences(there, job.identity.parts)
                break


def _identity(folder: Path) -> Mapping[str, Any] | None:
    """Return the parts of a finished run's identity; None where they cannot be read."""
    try:
        parts = parse_json(read_file(folder / "identity.json"))
    except (OSError, ValueError, RecursionError):
        return None
    return parts if isinstance(parts, dict) else None
