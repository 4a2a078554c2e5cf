"""One file from the first mirror that has it: bounded, retried, verified, and renamed into place only then."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from initbench.data.dataset import Progress
from initbench.data.stored import MAX_BYTES, IdxFile
from initbench.data.transport import Reply, TransferError, request
from initbench.errors import DataError


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds, and how often to try."""

    reach_s: float = 7.0  # from the start until the first byte from any mirror
    least_reach_s: float = 2.5  # of these, left for the network however long importing torchvision took
    read_s: float = 10.0  # for one read, and for a later file's first byte
    stall_s: float = 30.0  # in each such stretch ...
    stall_bytes: int = 1 << 16  # ... at least so many bytes must arrive
    tries: int = 3  # per mirror and file
    backoff_s: float = 0.5  # before the second try; doubles with each further one
    max_bytes: int = MAX_BYTES


class Reach:
    """The time that is left to find out whether the network is reachable; once a byte has come, it is."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reached = False
        self.deadline = time.monotonic() + limits.reach_s

    def begin(self) -> None:
        """Keep a least share of the time for the network, where the start took most of it."""
        self.deadline = max(self.deadline, time.monotonic() + self.limits.least_reach_s)

    def until(self, mirrors_left: int) -> float | None:
        """Return when (monotonic) to give the next of `mirrors_left` mirrors up; None once a byte has come."""
        if self.reached:
            return None
        now = time.monotonic()
        return now + (self.deadline - now) / mirrors_left


@dataclass(frozen=True)
class Download:
    """One file to be had: what it is, where it goes, and what bounds it."""

    file: IdxFile
    folder: Path
    reach: Reach
    progress: Progress

    def from_any(self, mirrors: list[str]) -> None:
        """Download from the first mirror that has the file and move that one to the front of `mirrors`.

        Raises DataError with each mirror's reason where none has; OSError where the folder cannot be written.
        """
        failures = []
        for number, mirror in enumerate(tuple(mirrors)):
            try:
                self._from_mirror(mirror + self.file.archive, self.reach.until(len(mirrors) - number))
            except TransferError as error:
                failures.append(f"{mirror}: {error}")
                continue
            mirrors.remove(mirror)
            mirrors.insert(0, mirror)
            return
        raise DataError(f"{self.file.archive} could not be downloaded ({'; '.join(failures)})")

    def _from_mirror(self, url: str, until: float | None) -> None:
        limits = self.reach.limits
        for attempt in range(1, limits.tries + 1):
            try:
                return self._once(url, until)
            except TransferError as error:
                pause_s = limits.backoff_s * 2 ** (attempt - 1)
                out_of_time = not self.reach.reached and until is not None and time.monotonic() + pause_s >= until
                if not error.again or attempt == limits.tries or out_of_time:
                    raise
            time.sleep(pause_s)
        return None

    def _once(self, url: str, until: float | None) -> None:
        limits = self.reach.limits
        within_s = limits.read_s if until is None or self.reach.reached else until - time.monotonic()
        part = self.folder / f".{self.file.archive}.part"  # one name: the lock lets one process write it
        with closing(request(url, within_s=within_s, read_s=limits.read_s)) as reply:
            self.reach.reached = True
            part.unlink(missing_ok=True)  # of a process that was killed; a link is not followed, a pipe not waited for
            try:
                with part.open("xb") as out:
                    self._receive(reply, out)
                part.replace(self.folder / self.file.archive)
            finally:
                part.unlink(missing_ok=True)

    def _receive(self, reply: Reply, out: BinaryIO) -> None:
        limits, total = self.reach.limits, reply.total_bytes
        if total is not None and total > limits.max_bytes:
            raise TransferError(f"{total} bytes announced, more than any file of its kind has", again=False)
        digest = hashlib.md5(usedforsecurity=False)  # the hash that the archives are published with
        pace = _Pace(limits)
        done = 0
        for chunk in reply.chunks():
            done += len(chunk)
            if done > limits.max_bytes:
                raise TransferError(f"more than {limits.max_bytes} bytes sent", again=False)
            pace.add(len(chunk))
            digest.update(chunk)
            out.write(chunk)
            self.progress(self.file.archive, done, total)
        if total is not None and done != total:
            raise TransferError(f"broke off after {done} of {total} bytes", again=True)
        if digest.hexdigest() != self.file.md5:
            raise TransferError(
                f"not the published file: MD5 is {digest.hexdigest()}, not {self.file.md5}", again=False
            )
        out.flush()
        os.fsync(out.fileno())


class _Pace:
    """Notices a transfer that trickles: each read comes in time, and still it would never end."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.start = time.monotonic()
        self.received = 0

    def add(self, received: int) -> None:
        self.received += received
        elapsed_s = time.monotonic() - self.start
        if elapsed_s < self.limits.stall_s:
            return
        if self.received < self.limits.stall_bytes:
            raise TransferError(f"stalled: {self.received} bytes in {elapsed_s:.0f} s", again=True)
        self.start, self.received = time.monotonic(), 0
