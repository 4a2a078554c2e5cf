"""One process's stay in a runs folder: the runs that it claims, and room for what it is writing, while it lives.

    runs/.claims/0f3c9a...       locked by the process that trains this run
    runs/.tmp/7d41.../           what one process is writing, and 7d41....lock, locked as long as that process lives

The locks are the operating system's (flock): they end with the process, however it ends. So whoever can lock what
another one left behind knows that nobody needs it any more. `runs/.lock` is held where files come and go.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from initbench.errors import StoreError
from initbench.store.disk import disk_errors
from initbench.store.unfinished import FOLDER as UNFINISHED
from initbench.store.unfinished import Unfinished

CLAIMS, SCRATCH, TURN = ".claims", ".tmp", ".lock"
PATIENCE_S = 60.0  # for the turn, which others hold for milliseconds
PATIENCE_AT_END_S = 1.0  # where a user may be waiting for the end, and others can sweep
POLL_S = 0.002  # how often it is asked for
RUN_ID = re.compile(r"[0-9a-f]{16}")
STAY = re.compile(r"[0-9a-f]{32}")
ASIDE = "aside-"  # what a folder that gives way to another is called in the meantime


class Stay:
    """A stay in the runs folder `root`; made by `stay`. One thread claims, another one may release.

    The paths are absolute: this process may change its folder, and workers have another one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.scratch = self.root / SCRATCH / uuid.uuid4().hex
        self.unfinished = Unfinished(self.root, self.scratch)
        self._claims: dict[str, FileLock] = {}

    def claim(self, run_id: str) -> bool:
        """Claim a run, so that no other process trains it; say whether nobody else has."""
        with self.turn():
            lock = _lock(self.root / CLAIMS / run_id)
            if not _locked(lock):
                return False
        self._claims[run_id] = lock
        return True

    def release(self, run_id: str) -> None:
        """Give a claim back."""
        with self.turn():
            lock = self._claims.pop(run_id)
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def turn(self, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Have the turn to let files come and go, as one process at a time has."""
        with disk_errors(self.root):
            _check_folders(self.root)
            os.stat(self.root / SCRATCH)  # noqa: PTH116 # filelock would make the folder anew that was removed
            try:
                with _lock(self.root / TURN).acquire(patience_s, POLL_S):
                    yield
            except Timeout as error:
                raise StoreError(
                    f"runs folder {str(self.root)!r}: another process holds {TURN} for more than {patience_s:g} s."
                    " Has it stopped?"
                ) from error

    def begin(self) -> FileLock:
        """Make the folders, sweep what dead processes left, and return the lock that says that this one lives."""
        with disk_errors(self.root):
            for name in (CLAIMS, SCRATCH, UNFINISHED):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        with self.turn():
            sweep(self.root)
            alive = _lock(self.scratch.with_suffix(".lock"))
            alive.acquire(blocking=False)
            self.scratch.mkdir()
            return alive

    def end(self, alive: FileLock) -> None:
        """Give all claims back and leave nothing behind, as far as the disk lets it; a later stay sweeps the rest."""
        claims = list(self._claims.values())
        with suppress(StoreError), self.turn(PATIENCE_AT_END_S):
            for lock in claims:
                Path(lock.lock_file).unlink(missing_ok=True)
            _clear(self.root, Path(alive.lock_file))
        for lock in (*claims, alive):
            lock.release()


@contextmanager
def stay(root: Path) -> Iterator[Stay]:
    """Stay in the runs folder `root`, which is made if need be; raises StoreError where it cannot be written."""
    one = Stay(root)
    with ExitStack() as leaving:
        alive = one.begin()
        leaving.callback(one.end, alive)
        with disk_errors(root):
            probe = one.scratch / "probe"
            probe.write_bytes(b"initbench" * 512)
            probe.unlink()
        yield one


def sweep(root: Path) -> None:
    """Remove what processes left that live no more; the turn is the caller's."""
    for lock in (root / SCRATCH).glob("*.lock"):
        if STAY.fullmatch(lock.stem) and _nobodys(lock):
            _clear(root, lock)
    for claim in (root / CLAIMS).iterdir():
        if RUN_ID.fullmatch(claim.name) and _nobodys(claim):
            claim.unlink(missing_ok=True)


def _clear(root: Path, lock: Path) -> None:
    """Remove the scratch folder that belongs to the lock of a stay, and then the lock."""
    scratch = lock.with_suffix("")
    _put_back(root, scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    if not scratch.exists():
        lock.unlink(missing_ok=True)


def _put_back(root: Path, scratch: Path) -> None:
    """Put a run's folder back in place that a process moved aside for a new one, which it did not live to do."""
    for aside in scratch.glob(f"{ASIDE}*") if scratch.is_dir() else ():
        run_id = aside.name[-16:]
        if not any(root.glob(f"[!.]*-{glob.escape(run_id)}")):
            aside.rename(root / aside.name.removeprefix(ASIDE))


def _nobodys(file: Path) -> bool:
    """Return whether nobody holds the lock on this file."""
    lock = _lock(file)
    with suppress(OSError):  # no file that can be locked: none of ours
        if _locked(lock):
            lock.release()
            return True
    return False


def _lock(file: Path) -> FileLock:
    return FileLock(file, thread_local=False)


def _locked(lock: FileLock) -> bool:
    """Lock it, if that can be done at once; say whether it could."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _check_folders(root: Path) -> None:
    """Raise StoreError where one of the hidden folders leads elsewhere, as in a runs folder of another's making."""
    for name in (CLAIMS, SCRATCH, UNFINISHED):
        if os.path.islink(root / name):  # noqa: PTH114 # a third of the time of Path.is_symlink
            raise StoreError(f"{root / name} is a symbolic link, which is not followed. Remove it.")
