"""Read a run's folder, whoever wrote it: what cannot be read is Broken, and never more than that.

Nothing is read but JSON (here) and safetensors (weights.py): no format that can hold code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from initbench.checksums import CHECKSUMS, mismatch
from initbench.errors import StoreError
from initbench.results import SCHEMA_VERSION, RunResult, SignalRow, printable
from initbench.store.opening import read_file, read_files
from initbench.store.strict_json import NotJSONError, parse_json

SMALL = frozenset({"result.json", "metrics.jsonl", "config.yaml", "identity.json"})  # files of a run, of some kilobytes
ID_DIGITS = 16  # of a run's id, which its folder's name ends with
LONGEST_REASON = 200  # characters
WORDS = {  # by the types of pydantic's errors
    "missing": "missing",
    "extra_forbidden": "not known",
    "literal_error": "none of the words that are allowed",
    "json_invalid": "no JSON",  # such as half of a surrogate pair
    "too_long": "too long",
    "greater_than_equal": "out of range",
    "less_than_equal": "out of range",
    "finite_number": "no finite number",
}
WRONG_TYPE = "of a wrong type"


@dataclass(frozen=True)
class Broken:
    """A folder that looks like a run but cannot be read, and why: one short line that is safe to print."""

    path: Path
    reason: str
    precious: bool = False  # nothing is wrong with it, but it is not for this initbench: it must not be replaced

    def __post_init__(self) -> None:
        """Make the reason printable, and cut it: the folder's maker may have chosen parts of it."""
        reason = printable(self.reason)
        cut = reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
        object.__setattr__(self, "reason", cut)


class NewerVersionError(NotJSONError):
    """A result is of a later version than those that are read here."""


def read_run(path: Path) -> RunResult | Broken:
    """Return the result in the run's folder `path`, with its place, or why it cannot be read."""
    if path.is_symlink():
        return Broken(path, "a symbolic link, which is not followed", precious=True)
    try:
        content = read_file(path / "result.json")
        _check_version(parse_json(content))
        result = RunResult.model_validate_json(content, strict=True)
    except OSError as error:
        return _unreadable(path, error)
    except NewerVersionError as error:
        return Broken(path, f"result.json: {error}", precious=True)
    except NotJSONError as error:
        return Broken(path, f"result.json: {error}")
    except ValidationError as error:
        return Broken(path, f"result.json: {first_problem(error)}")
    if path.name[-ID_DIGITS:] != result.run_id:
        return Broken(path, f"its name is not one of run {result.run_id!r}")
    return result.model_copy(update={"run_dir": str(path)})


def damage(path: Path, result: RunResult) -> str:
    """Return what is wrong with a run that can be read, by the checksums of its small files; "" where nothing is.

    The weights, which take longer, are left to `runs verify`.
    """
    if result.history and result.status == "done" and result.test_accuracy != result.history[-1].test_accuracy:
        return "its test accuracy is not that of its last epoch"
    try:
        names = set(os.listdir(path))  # noqa: PTH208 # names, not paths
        if CHECKSUMS not in names:
            return f"{CHECKSUMS} is missing" if "identity.json" in names else ""
        listed = read_file(path / CHECKSUMS)
        return mismatch({CHECKSUMS: listed, **{name: read_file(path / name) for name in sorted(names & SMALL)}}, SMALL)
    except OSError as error:
        return f"{Path(error.filename or path).name}: {error.strerror or error}"


def read_run_files(path: Path) -> dict[str, bytes] | Broken:
    """Return all files of the run's folder `path` by their names, or why they cannot be read."""
    try:
        return read_files(path)
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> Broken:
    return Broken(path, f"{Path(error.filename or path).name}: {error.strerror or error}")


def _check_version(document: Any) -> None:
    """Raise NotJSONError unless this is a result of the version that is read here.

    Version 1 is the first. A later initbench that still reads it would turn its document into one of today's here.
    """
    if not isinstance(document, dict):
        raise NotJSONError("no result of a run")
    version = document.get("schema_version")
    if type(version) is not int or version < 1:
        raise NotJSONError("schema_version: " + ("missing" if version is None else "none that there is"))
    if version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"written by a newer initbench (schema {version}, this one reads {SCHEMA_VERSION}); update initbench"
        )


def read_signals(folder: Path) -> list[SignalRow]:
    """Return the signals in the metrics.jsonl of a run's folder; raises StoreError where it cannot be read."""
    file = folder / "metrics.jsonl"
    try:
        lines = read_file(file).splitlines()
    except OSError as error:
        raise _no_signals(str(file), f"{error.strerror or error}.") from error
    found = (_signal_row(line, f"{file}:{number}") for number, line in enumerate(lines, 1))
    return [row for row in found if row is not None]


def _signal_row(line: bytes, place: str) -> SignalRow | None:
    """Return the signals of one line of metrics.jsonl, None where the line is of another phase."""
    try:
        row = parse_json(line)
        phase = row.pop("phase")
        return SignalRow.model_validate(row) if phase == "signals" else None
    except ValidationError as error:
        reason = first_problem(error)
    except NotJSONError as error:
        reason = f"no row of a run's metrics: {error}"
    except (KeyError, TypeError, AttributeError):
        reason = "no row of a run's metrics"
    raise _no_signals(place, f"{Broken(Path(place), reason).reason}.")


def _no_signals(place: str, reason: str) -> StoreError:
    return StoreError(f"{place}: {reason} The signals of this run cannot be read; train it again with --fresh.")


def first_problem(error: ValidationError) -> str:
    """Return where the first problem is, and what it is, in words: "history.0.epoch: of a wrong type"."""
    problem = error.errors(include_url=False, include_input=False)[0]
    own_words = str(problem["msg"]).removeprefix("Value error, ") if problem["type"] == "value_error" else WRONG_TYPE
    return f"{'.'.join(map(str, problem['loc']))}: {WORDS.get(problem['type'], own_words)}".removeprefix(": ")
