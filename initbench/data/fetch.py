"""Complete a folder of archives from the network: one process downloads, the others wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from initbench.data.dataset import Notify, Progress, ignore
from initbench.data.download import Download, Limits, Reach
from initbench.data.roots import is_writable
from initbench.data.stored import IdxFile, is_file, read_verified
from initbench.errors import DataError

LOCK_NAME = ".initbench.lock"
FAILURE_NAME = ".initbench.failed"  # why the last download failed, for those that waited for it
LOOK_AGAIN_S = 0.25  # how often a waiting process looks for a noted failure
LOCK_WAIT_S = 900.0  # longer than any download that makes progress is likely to take


def fetch(
    files: Sequence[IdxFile],
    folder: Path,
    mirrors: Callable[[], list[str]],
    *,
    limits: Limits | None = None,
    notify: Notify = ignore,
    progress: Progress = ignore,
) -> None:
    """Download those of `files` that `folder` lacks, or has in a bad form, from the addresses that `mirrors` returns.

    Processes that want the same folder wait for each other: the first downloads, the rest find the files, or fail
    at once for the reason that it failed. Raises DataError where a file cannot be had or the folder not be written.
    """
    try:
        _make_folder(folder)
        with _locked(folder, notify):
            _complete(files, folder, mirrors, Reach(limits or Limits()), notify, progress)
    except OSError as error:
        raise DataError(f"cannot write to '{folder}': {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    if not is_writable(folder):
        reason = "it is not a folder" if folder.exists() and not folder.is_dir() else "it is read-only"
        raise DataError(f"cannot write to '{folder}': {reason}")
    folder.mkdir(parents=True, exist_ok=True)


def _complete(
    files: Sequence[IdxFile],
    folder: Path,
    mirrors: Callable[[], list[str]],
    reach: Reach,
    notify: Notify,
    progress: Progress,
) -> None:
    lacking = [file for file in files if read_verified(folder, file, notify) is None]
    if not lacking:
        return
    with _failure_noted(folder):
        addresses = mirrors()  # may import torchvision, which takes seconds
        reach.begin()
        for file in lacking:
            Download(file, folder, reach, progress).from_any(addresses)


@contextmanager
def _locked(folder: Path, notify: Notify) -> Iterator[None]:
    """Hold the folder's lock; raises DataError where the process that had it failed meanwhile."""
    lock = FileLock(folder / LOCK_NAME)
    before = _failure(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        notify(f"waiting for another process that downloads to '{folder}'.")
        _wait(lock, folder, before)
    try:
        yield
    finally:
        lock.release()


def _wait(lock: FileLock, folder: Path, before: Failure | None) -> None:
    """Acquire the lock; raises DataError as soon as a failure is noted that was not there `before`."""
    give_up = time.monotonic() + LOCK_WAIT_S
    while time.monotonic() < give_up:
        try:
            lock.acquire(timeout=LOOK_AGAIN_S)
            return
        except Timeout:
            noted = _failure(folder)
        if noted is not None and noted != before:
            raise DataError(noted[0])
    raise DataError(f"another process has held '{lock.lock_file}' for {LOCK_WAIT_S:.0f} s; end it first")


Failure = tuple[str, int]  # the reason, and when it was noted in ns


def _failure(folder: Path) -> Failure | None:
    """Return the reason that was noted last and when, None where the last download went well."""
    path = folder / FAILURE_NAME
    if not is_file(path):  # a pipe would be waited for
        return None
    try:
        return path.read_text(encoding="utf-8", errors="replace"), path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


@contextmanager
def _failure_noted(folder: Path) -> Iterator[None]:
    """Leave the reason of a failure for the processes that wait, and remove it after a success."""
    path = folder / FAILURE_NAME
    try:
        yield
    except DataError as error:
        temporary = path.with_suffix(".part")
        temporary.unlink(missing_ok=True)  # a link is not followed
        temporary.write_text(str(error), encoding="utf-8")
        temporary.replace(path)
        raise
    path.unlink(missing_ok=True)
