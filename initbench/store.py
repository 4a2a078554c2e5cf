"""The runs folder: one folder per finished run, content-addressed, written whole or not at all.

    runs/xavier_uniform-seed0-0f3c9a.../
        config.yaml          the resolved config
        environment.json     versions, processor, git state
        metrics.jsonl        a row per epoch, of the pre-training where there is one, and of the training; and the
                             signals where train.signals asks for them
        weights.safetensors  the final weights; of a failed run traceback.txt instead
        result.json          the RunResult; what `runs list` and a later `compare` read

A run is written into a hidden folder and renamed when it is complete, so that a folder without a leading dot is whole.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from filelock import FileLock
from pydantic import ValidationError

from initbench.errors import StoreError
from initbench.results import Record, RunResult, SignalRow

if TYPE_CHECKING:
    from torch import Tensor

Phase = Literal["pretraining", "training", "signals"]
RUN_ID = re.compile(r"[0-9a-f]{16}")


def folder_name(label: str, seed: int, run_id: str) -> str:
    """Return the name of a run's folder; characters outside of [A-Za-z0-9._+] become '-'."""
    slug = re.sub(r"[^A-Za-z0-9._+]+", "-", label).strip("-.")
    return f"{slug or 'run'}-seed{seed}-{run_id}"


@dataclass(frozen=True)
class Broken:
    """A folder that looks like a run but cannot be read, and why."""

    path: Path
    reason: str


class Store:
    """The runs under one root folder. Raises StoreError, never OSError, where the disk does not do its part."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, run_id: str) -> RunResult | None:
        """Return the run with this id, if it is there, readable, and did not fail."""
        for path in self._folders(run_id):
            found = self._read(path)
            if isinstance(found, RunResult) and found.run_id == run_id and found.status != "failed":
                return found
        return None

    def runs(self) -> Iterator[RunResult | Broken]:
        """Yield every run, in the order of the folders' names; unreadable ones as Broken."""
        for path in self._folders():
            yield self._read(path)

    def match(self, text: str) -> list[RunResult | Broken]:
        """Return the runs whose folder is called `text` or whose id starts with it."""
        by_id = re.compile(rf"-{re.escape(text)}[0-9a-f]*$") if re.fullmatch("[0-9a-f]{4,16}", text) else None
        return [
            self._read(path) for path in self._folders() if path.name == text or (by_id and by_id.search(path.name))
        ]

    def signals(self, run: RunResult | Path) -> list[SignalRow]:
        """Return the signals that were recorded while a run (its result or its folder) was trained, epoch by epoch.

        Raises StoreError for a run without a folder, and where its metrics.jsonl cannot be read.
        """
        folder = run if isinstance(run, Path) else Path(run.run_dir) if run.run_dir else None
        if folder is None:
            raise StoreError("this run was not stored, and its signals are kept on the disk only. Give it a runs_dir.")
        file = folder / "metrics.jsonl"
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise _no_signals(str(file), f"{error.strerror or error}.") from error
        found = (_signal_row(line, f"{file}:{number}") for number, line in enumerate(lines, 1))
        return [row for row in found if row is not None]

    def remove(self, path: Path) -> None:
        """Delete the folder of one run; raises StoreError where it is not a run's folder of this store."""
        if path.resolve().parent != self.root.resolve() or not _looks_like_run(path):
            raise StoreError(f"{path} is not the folder of a run in {self.root}; nothing was removed.")
        with _disk_errors(self.root):
            shutil.rmtree(path)

    def check_writable(self) -> None:
        """Make the root folder and write to it once; raises StoreError now rather than after the training."""
        with _disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(b"initbench" * 512)

    @contextmanager
    def writing(self, name: str, run_id: str) -> Iterator[RunWriter]:
        """Give a writer for the run folder `name`; rename it into place at the end, remove it after any error.

        Folders of the same run that are there already, whatever their name, give way to the new one.
        """
        with _disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self.root))
        try:
            yield RunWriter(partial, self.root / name)
            with _disk_errors(self.root):
                self._put_in_place(partial, self.root / name, run_id)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _put_in_place(self, partial: Path, final: Path, run_id: str) -> None:
        """Rename `partial` to `final`, under a lock: other processes may be doing the same for the same run."""
        partial.chmod(0o755)  # mkdtemp made it private
        with FileLock(self.root / ".lock"):
            for older in self._folders(run_id):
                aside = partial.with_name(f"{partial.name}-{older.name}")
                older.replace(aside)
                shutil.rmtree(aside, ignore_errors=True)
            partial.replace(final)

    def _folders(self, run_id: str = "") -> list[Path]:
        """Return the folders of runs, or of one run: by their names first, which asks the disk least."""
        with _disk_errors(self.root):
            named = [path for path in self.root.iterdir() if path.name.endswith(run_id)] if self.root.exists() else []
            return sorted(filter(_looks_like_run, named))

    def _read(self, path: Path) -> RunResult | Broken:
        try:
            result = RunResult.model_validate_json((path / "result.json").read_bytes())
        except OSError as error:
            return Broken(path, f"result.json: {error.strerror}")
        except ValidationError as error:
            return Broken(path, f"result.json: {_first_problem(error)}")
        return result.model_copy(update={"run_dir": str(path)})


class Writer(Protocol):
    """Where the parts of one run go; `final_path` is its folder, None where nothing is kept."""

    final_path: Path | None

    def row(self, phase: Phase, row: Record) -> None:
        """Keep the row of one epoch."""

    def text(self, file: str, content: str) -> None:
        """Keep one text file."""

    def json(self, file: str, content: dict[str, Any]) -> None:
        """Keep one JSON file."""

    def weights(self, state: dict[str, Tensor]) -> None:
        """Keep the model's state."""


class NoWriter:
    """Keeps nothing."""

    final_path: Path | None = None

    def row(self, phase: Phase, row: Record) -> None:
        """Keep nothing."""

    def text(self, file: str, content: str) -> None:
        """Keep nothing."""

    def json(self, file: str, content: dict[str, Any]) -> None:
        """Keep nothing."""

    def weights(self, state: dict[str, Tensor]) -> None:
        """Keep nothing."""


class RunWriter:
    """Writes the files of one run into its hidden folder, each flushed to the disk before it goes on."""

    def __init__(self, partial: Path, final_path: Path) -> None:
        self._partial = partial
        self._root = final_path.parent
        self.final_path: Path | None = final_path
        self.text("metrics.jsonl", "")

    def row(self, phase: Phase, row: Record) -> None:
        """Append one row to metrics.jsonl."""
        line = json.dumps({"phase": phase, **row.model_dump(mode="json")}, allow_nan=False)
        self._write("metrics.jsonl", line.encode() + b"\n", "ab")

    def text(self, file: str, content: str) -> None:
        """Write one text file."""
        self._write(file, content.encode())

    def json(self, file: str, content: dict[str, Any]) -> None:
        """Write one JSON file; raises ValueError for NaN and infinity, which JSON does not have."""
        self.text(file, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def weights(self, state: dict[str, Tensor]) -> None:
        """Write the model's state as safetensors (contiguous, on the CPU)."""
        from safetensors.torch import save

        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        self._write("weights.safetensors", save(contiguous))

    def _write(self, file: str, content: bytes, mode: Literal["wb", "ab"] = "wb") -> None:
        with _disk_errors(self._root), (self._partial / file).open(mode) as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())


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


def _looks_like_run(path: Path) -> bool:
    return not path.name.startswith(".") and bool(RUN_ID.fullmatch(path.name[-16:])) and path.is_dir()


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Free some space, or choose" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Choose"
        raise StoreError(
            f"runs folder {str(root)!r}: {error.strerror or error}. {remedy} another folder with --runs-dir."
        ) from error
