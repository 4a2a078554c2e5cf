"""Read a run's folder, whoever wrote it: what cannot be read is Broken, and never more than that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from initbench.errors import StoreError
from initbench.results import RunResult, SignalRow


@dataclass(frozen=True)
class Broken:
    """A folder that looks like a run but cannot be read, and why."""

    path: Path
    reason: str


def read_run(path: Path) -> RunResult | Broken:
    """Return the result in the run's folder `path`, with its place, or why it cannot be read."""
    try:
        result = RunResult.model_validate_json((path / "result.json").read_bytes())
    except OSError as error:
        return Broken(path, f"result.json: {error.strerror}")
    except ValidationError as error:
        return Broken(path, f"result.json: {_first_problem(error)}")
    return result.model_copy(update={"run_dir": str(path)})


def read_signals(folder: Path) -> list[SignalRow]:
    """Return the signals in the metrics.jsonl of a run's folder; raises StoreError where it cannot be read."""
    file = folder / "metrics.jsonl"
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise _no_signals(str(file), f"{error.strerror or error}.") from error
    found = (_signal_row(line, f"{file}:{number}") for number, line in enumerate(lines, 1))
    return [row for row in found if row is not None]


def _signal_row(line: bytes, place: str) -> SignalRow | None:
    """Return the signals of one line of metrics.jsonl, None where the line is of another phase."""
    try:
        row = json.loads(line)
        phase = row.pop("phase")
        return SignalRow.model_validate(row) if phase == "signals" else None
    except ValidationError as error:
        reason = f"{_first_problem(error)}."
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = "no row of a run's metrics."
    raise _no_signals(place, reason)


def _no_signals(place: str, reason: str) -> StoreError:
    return StoreError(f"{place}: {reason} The signals of this run cannot be read; train it again with --fresh.")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ")
