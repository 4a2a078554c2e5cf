"""What a test puts in the way of a command: it kills itself at a certain touch of the disk, or writes and writes."""

from __future__ import annotations

import functools
import io
import itertools
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOUCHES = "fsync", "replace", "rename", "link", "unlink", "rmdir", "mkdir", "open"  # of the module os


@dataclass(frozen=True)
class KilledAt:
    """SIGKILL this process before its touch number `touch`, from 1, of the disk under the folder `root`.

    A touch is a call of the functions above, or a write to a file: half of what is written is on its way to the disk
    by then. What it was is left in the file `report`; nothing is where the process did not come so far.
    """

    touch: int
    root: str
    report: str

    def __call__(self) -> None:
        """Patch the functions; numbers count from here on."""
        numbers = itertools.count(1)
        for name in TOUCHES:
            setattr(os, name, self._watched(name, getattr(os, name), numbers))
        io.open = _opening(io.open, self, numbers)  # what Path.open calls

    def _watched(self, name: str, function: Callable[..., Any], numbers: itertools.count[int]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*arguments: Any, **options: Any) -> Any:
            if name == "fsync" or self.concerns(arguments[0], options.get("dir_fd")):
                self.count(name, numbers)
            return function(*arguments, **options)

        return watched

    def concerns(self, path: object, dir_fd: int | None = None) -> bool:
        """Say whether a path is under the root; one that is relative to a folder's descriptor is taken for it."""
        return dir_fd is not None or (isinstance(path, str | Path) and str(path).startswith(self.root))

    def count(self, name: str, numbers: itertools.count[int]) -> None:
        """Count one touch; the last one that there is is the one before which this process dies."""
        if next(numbers) == self.touch:
            Path(self.report).write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)


def _opening(original: Callable[..., Any], killed: KilledAt, numbers: itertools.count[int]) -> Callable[..., Any]:
    """Return what opens files under the root so that half of a write can be lost."""

    class Torn(io.FileIO):
        def write(self, content: Any) -> int:
            view = memoryview(content).cast("B")
            half = super().write(view[: len(view) // 2])
            killed.count("write", numbers)
            return half + super().write(view[half:])

    def opening(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode in ("wb", "xb") and killed.concerns(file):
            killed.count("open", numbers)
            return io.BufferedWriter(Torn(file, mode))
        return original(file, mode, *arguments, **options)

    return opening


@dataclass(frozen=True)
class WritingForever:
    """Save generation after generation of a state, and every third time of a result, until the process is killed.

    Each generation is told on stdout once it is saved. All numbers in it are the generation's own.
    """

    root: str
    name: str
    task: str  # an UnfinishedTask as JSON
    result: str  # a RunResult as JSON
    first: int

    def __call__(self) -> None:
        """Never return."""
        import torch

        from initbench.results import RunResult, UnfinishedTask
        from initbench.store import Store

        task, result = UnfinishedTask.model_validate_json(self.task), RunResult.model_validate_json(self.result)
        store = Store(Path(self.root))
        with store.stay() as during:
            for generation in itertools.count(self.first):
                tensors = {name: torch.full((20_000,), float(generation)) for name in ("a", "b")}
                during.unfinished.save(self.name, task.model_copy(update={"epoch": generation}), tensors)
                os.write(1, f"state {generation}\n".encode())
                if generation % 3 == 0:
                    files = {"metrics.jsonl": f"{generation}\n".encode() * 5_000}
                    store.keep_all(
                        [(self.name, result.model_copy(update={"init_s": float(generation)}), files)], during
                    )
                    os.write(1, f"result {generation}\n".encode())


@dataclass(frozen=True)
class FilesLimited:
    """Let the command write no file beyond so many bytes: a full disk that needs no rights."""

    size_bytes: int

    def __call__(self) -> None:
        """Set the limit, of the process and of its children."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size_bytes, self.size_bytes))
