"""Files of a dataset on disk: read once, verified by hash each time, set aside where they are bad."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from initbench.data.dataset import FileCheck, Notify
from initbench.data.roots import is_writable
from initbench.errors import DataError

MAX_BYTES = 1 << 26  # 64 MiB; the largest file of the family, 60,000 images extracted, has 47,040,016 bytes
TOO_LARGE = "more than any file of its kind has"
READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # opening a pipe must not wait


@dataclass(frozen=True)
class IdxFile:
    """One file of a dataset: its name when extracted, its archive's MD5, the extracted bytes' SHA-256 if known."""

    name: str
    ndim: int
    md5: str
    sha256: str | None = None

    @property
    def archive(self) -> str:
        """The name of the archive, as it is downloaded."""
        return f"{self.name}.gz"


@dataclass(frozen=True)
class Form:
    """One way that a file may lie on disk, and the hash that tells whether it is the published one."""

    path: Path
    algorithm: Literal["MD5", "SHA-256"]
    expected: str


@dataclass(frozen=True)
class Verified:
    """The bytes of a form whose hash was right; `sha256` is that of the extracted bytes, if known."""

    path: Path
    data: bytes
    sha256: str | None

    def extracted(self) -> bytes:
        """Return the bytes of the IDX file; raises DataError where the archive unpacks to others, or not at all."""
        if self.path.suffix != ".gz":
            return self.data
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(self.data)) as archive:
                extracted = archive.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"'{self.path}' does not unpack: {error}.") from error
        if len(extracted) > MAX_BYTES:
            raise DataError(f"'{self.path}' unpacks to more than {MAX_BYTES} bytes, {TOO_LARGE}.")
        actual = hashlib.sha256(extracted).hexdigest()
        if actual != (self.sha256 or actual):
            raise DataError(f"'{self.path}' unpacks to bytes with SHA-256 {actual}, not {self.sha256}.")
        return extracted


def forms(folder: Path, file: IdxFile) -> Iterator[Form]:
    """Yield the forms of `file` that can be verified; the extracted one first, which needs no unpacking."""
    if file.sha256 is not None:
        yield Form(folder / file.name, "SHA-256", file.sha256)
    yield Form(folder / file.archive, "MD5", file.md5)


def is_file(path: Path) -> bool:
    """Say whether `path` is a file; one in a folder that may not be searched counts as absent."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_present(folder: Path, file: IdxFile) -> bool:
    """Say whether `folder` has a form of `file` that can be verified; does not read it."""
    return any(is_file(form.path) for form in forms(folder, file))


def is_untrusted(folder: Path, file: IdxFile) -> bool:
    """Say whether only an extracted file is there for which no hash is published."""
    return file.sha256 is None and is_file(folder / file.name) and not is_present(folder, file)


def read_verified(folder: Path, file: IdxFile, notify: Notify) -> Verified | None:
    """Return `file` from `folder` with its hash checked; sets each bad form aside; None where no form is left."""
    for form in forms(folder, file):
        try:
            data, identity, problem = _read(form)
        except FileNotFoundError:
            continue
        except OSError as error:
            notify(f"'{form.path}' cannot be read ({error.strerror}); it is passed over.")
            continue
        if not problem:
            return Verified(form.path, data, file.sha256)
        _set_aside(form.path, identity, problem, notify)
    return None


def check(folder: Path, file: IdxFile) -> list[FileCheck]:
    """Return what is to be said of each form of `file` in `folder`, or that it is missing; changes nothing."""
    rows = []
    for form in forms(folder, file):
        try:
            problem = _read(form)[2]
        except FileNotFoundError:
            continue
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        rows.append(FileCheck(form.path, form.algorithm, "bad" if problem else "ok", problem))
    if not rows and is_untrusted(folder, file):
        return [
            FileCheck(folder / file.name, "nothing", "bad", f"no published hash to check it by; add {file.archive}")
        ]
    return rows or [FileCheck(folder / file.archive, "nothing", "missing")]


Identity = tuple[int, int, int, int]


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(form: Form) -> tuple[bytes, Identity, str]:
    """Return bytes, identity and problem ("" where the hash is right) of what is at `form`; raises OSError."""
    descriptor = os.open(form.path, READING)
    try:
        found = os.fstat(descriptor)
        problem = _unlike_a_file(found)
        data = b"" if problem else _contents(descriptor)
    finally:
        os.close(descriptor)
    return data, _identity(found), problem or _problem(data, form)


def _unlike_a_file(found: os.stat_result) -> str:
    """Return why this cannot be a file of a dataset, "" where it can: a pipe or a device may never end."""
    if not stat.S_ISREG(found.st_mode):
        return f"a {'folder' if stat.S_ISDIR(found.st_mode) else 'pipe or a device'}, not a file"
    return f"{found.st_size} bytes, {TOO_LARGE}" if found.st_size > MAX_BYTES else ""


def _contents(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(MAX_BYTES + 1)  # it may grow meanwhile


def _problem(data: bytes, form: Form) -> str:
    if form.algorithm == "MD5":
        actual = hashlib.md5(data, usedforsecurity=False).hexdigest()  # the hash that the archives are published with
    else:
        actual = hashlib.sha256(data).hexdigest()
    return "" if actual == form.expected else f"{form.algorithm} is {actual}, not {form.expected}"


def _set_aside(path: Path, identity: Identity, problem: str, notify: Notify) -> None:
    """Rename the bad file that was read, unless another process has replaced it since then."""
    if not is_writable(path.parent):
        notify(f"'{path}' is not the published file ({problem}); its folder is read-only, so it is passed over.")
        return
    try:
        if _identity(path.stat()) != identity:
            return
        aside = _free_name(path)
        path.rename(aside)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as error:
        notify(f"'{path}' is not the published file ({problem}) and cannot be set aside ({error.strerror}).")
        return
    notify(f"'{path}' is not the published file ({problem}); set aside as '{aside.name}'.")


def _free_name(path: Path) -> Path:
    aside, number = path.with_name(f"{path.name}.bad"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.bad-{number}")
    return aside
