"""How many physical cores this process may use: the machine's, its CPU affinity, and the quota of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath


def available_cores() -> int:
    """Return how many physical cores this process may use, 1 or more.

    Two hardware threads of a core share its arithmetic units: a second worker on the same core gains next to nothing.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = physical_cores(_read(Path("/proc/cpuinfo")), allowed) or len(allowed)
    quota = smallest_quota(_quotas())
    return max(1, min(cores, cores if quota is None else math.ceil(quota)))


def physical_cores(cpuinfo: str, allowed: Collection[int]) -> int | None:
    """Return how many cores the `allowed` processors belong to, by the text of /proc/cpuinfo.

    None where the text names no cores (a virtual machine, ARM, another system) or not all of the `allowed`.
    """
    cores = dict(filter(None, map(_processor, cpuinfo.split("\n\n"))))
    return len({cores[one] for one in allowed}) if cores.keys() >= set(allowed) else None


def _processor(block: str) -> tuple[int, tuple[str, str]] | None:
    """Return a processor's number and its (package, core), None where its block of /proc/cpuinfo lacks one of them."""
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())}
    try:
        return int(facts["processor"]), (facts["physical id"], facts["core id"])
    except (KeyError, ValueError):
        return None


def smallest_quota(texts: Iterable[str]) -> float | None:
    """Return the smallest CPU quota, in cores, of the texts of some cpu.max files; None where nothing is limited.

    Such a text is "<quota> <period>" in microseconds, "max" for no quota (Linux, control groups version 2).
    """
    return min((quota for quota in map(_quota, texts) if quota is not None), default=None)


def _quota(text: str) -> float | None:
    quota, _, period = text.strip().partition(" ")
    try:
        return int(quota) / int(period or 100_000)
    except (ValueError, ZeroDivisionError):  # "max", an empty file, or something newer than this
        return None


def cgroup_folders(membership: str) -> list[PurePosixPath]:
    """Return the control groups of a process, innermost first, relative to their mount, by /proc/self/cgroup's text."""
    for line in membership.splitlines():
        if line.startswith("0::/"):
            inner = PurePosixPath(line.removeprefix("0::/"))
            return [inner, *inner.parents] if inner.parts else [inner]
    return []


def _quotas() -> list[str]:
    """Return the text of cpu.max of each control group that this process is in; version 1 in the same form."""
    root = Path("/sys/fs/cgroup")
    texts = [_read(root / folder / "cpu.max") for folder in cgroup_folders(_read(Path("/proc/self/cgroup")))]
    first = f"{_read(root / 'cpu/cpu.cfs_quota_us').strip()} {_read(root / 'cpu/cpu.cfs_period_us').strip()}"
    return [*texts, "" if first.startswith("-") else first]  # version 1 says -1 for no quota


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
