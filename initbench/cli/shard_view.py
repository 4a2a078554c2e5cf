"""What one shard of a comparison holds once it is trained, and how to go on: the comparison needs the others, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from initbench.report.compact import counted
from initbench.results import RunResult
from initbench.results import document as json_document


def shard_text(shard: tuple[int, int], runs: Sequence[RunResult], runs_dir: Path) -> str:
    """Return a few lines for a person to read."""
    part, parts = shard
    counts = Counter(run.status for run in runs)
    endings = ", ".join(f"{counts[status]} {status}" for status in ("done", "diverged", "failed") if counts[status])
    return (
        f"shard {part}/{parts}: {counted(len(runs), 'run')} in {runs_dir}{f' ({endings})' if runs else ''}\n"
        "Once all shards are trained, bring their runs folders together, where they are several:\n"
        f"  initbench runs merge FOLDER... --runs-dir {runs_dir}\n"
        "Then give the same command without --shard: it finds all runs and compares them.\n"
    )


def shard_document(shard: tuple[int, int], runs: Sequence[RunResult], runs_dir: Path) -> str:
    """Return the shard as one strict JSON document, a newline at its end."""
    document = {"shard": shard, "runs_dir": str(runs_dir), "runs": [run.model_dump(mode="json") for run in runs]}
    return json_document(document)
