"""Check a run's files by their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from initbench.checksums import CHECKSUMS, parse_checksums
from initbench.provenance import Check
from initbench.store.opening import read_file
from initbench.verification.checks import failed, not_checked, ok

SHOWN = 6  # files that a reason names


def check_files(folder: Path) -> tuple[Check, frozenset[str]]:
    """Return the check of the files in `folder`, and the names of those that have a checksum."""
    try:
        present = set(os.listdir(folder)) - {CHECKSUMS}  # noqa: PTH208 # names, not paths
    except OSError as error:
        return failed("files", reason_of(error)), frozenset()
    try:
        listed = parse_checksums(read_file(folder / CHECKSUMS))
    except FileNotFoundError:
        return _without_checksums(present), frozenset()
    except (OSError, ValueError) as error:
        return failed("files", f"{CHECKSUMS}: {reason_of(error)}"), frozenset()
    if problems := list(_problems(folder, listed)):
        return failed("files", _first(problems)), frozenset(listed)
    beside = [f"{name} is no file of the run" for name in sorted(present - set(listed))]  # a note, a .DS_Store
    return ok("files", _first(beside)), frozenset(listed)


def _without_checksums(present: set[str]) -> Check:
    if "identity.json" in present:  # which came with the checksums
        return failed("files", f"{CHECKSUMS} is missing")
    return not_checked("files", f"there is no {CHECKSUMS}: this run was stored by an older initbench")


def _problems(folder: Path, listed: dict[str, str]) -> Iterator[str]:
    for name, expected in sorted(listed.items()):
        if name != Path(name).name:
            yield f"{name!r} is no file of a run"
            continue
        try:
            if hashlib.sha256(read_file(folder / name)).hexdigest() != expected:
                yield f"{name} has changed"
        except FileNotFoundError:
            yield f"{name} is missing"
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            yield f"{name}: {reason_of(error)}"


def _first(problems: list[str]) -> str:
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return ", ".join([*problems[:SHOWN], *more])


def reason_of(error: Exception) -> str:
    """Return why something cannot be read, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
