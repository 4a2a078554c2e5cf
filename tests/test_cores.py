"""How many cores there are to use, by texts as Linux gives them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

import pytest

from initbench import cores
from initbench.cores import available_cores, cgroup_folders, physical_cores, smallest_quota


def cpuinfo(*processors: tuple[int, int, int]) -> str:
    """/proc/cpuinfo of (processor, package, core) rows."""
    return "".join(
        f"processor\t: {number}\nmodel name\t: Some CPU @ 2.0: GHz\nphysical id\t: {package}\ncore id\t\t: {core}\n\n"
        for number, package, core in processors
    )


HYPERTHREADS = cpuinfo((0, 0, 0), (1, 0, 1), (2, 0, 0), (3, 0, 1))
TWO_PACKAGES = cpuinfo((0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1))


@pytest.mark.parametrize(
    ("text", "allowed", "cores_"),
    [
        (HYPERTHREADS, range(4), 2),
        (HYPERTHREADS, [0, 2], 1),  # both threads of the first core
        (HYPERTHREADS, [2, 3], 2),
        (TWO_PACKAGES, range(4), 4),  # core 0 of one package is not core 0 of the other
        (HYPERTHREADS, range(5), None),  # a processor that the text does not have
        ("processor\t: 0\nBogoMIPS\t: 100\n\n", [0], None),  # ARM names no cores
        ("", [0], None),
        ("\x00\n\n:::", [0], None),
    ],
    ids=["threads", "one core", "two cores", "packages", "unlisted", "no core ids", "no file", "rubbish"],
)
def test_physical_cores(text: str, allowed: Collection[int], cores_: int | None) -> None:
    assert physical_cores(text, allowed) == cores_


@pytest.mark.parametrize(
    ("texts", "quota"),
    [
        (["max 100000\n"], None),
        (["200000 100000\n"], 2.0),
        (["50000 100000"], 0.5),
        (["max 100000", "400000 100000", "150000 50000"], 3.0),
        (["150000"], 1.5),  # the kernel's default period
        (["", "-1 100000x", "1 0"], None),
        ([], None),
    ],
)
def test_the_smallest_quota_of_all_control_groups_counts(texts: list[str], quota: float | None) -> None:
    assert smallest_quota(texts) == quota


@pytest.mark.parametrize(
    ("membership", "folders"),
    [
        ("0::/\n", ["."]),
        ("0::/a/b\n", ["a/b", "a", "."]),
        ("5:cpu:/x\n0::/job\n", ["job", "."]),
        ("5:cpu:/x\n", []),
        ("", []),
    ],
)
def test_control_groups_from_the_inside_out(membership: str, folders: list[str]) -> None:
    assert cgroup_folders(membership) == [PurePosixPath(folder) for folder in folders]


@pytest.mark.parametrize(
    ("allowed", "quotas", "expected"),
    [({0, 1, 2, 3}, [], 2), ({0, 2}, [], 1), ({0, 1}, ["50000 100000"], 1), ({0, 1}, ["150000 100000"], 2)],
)
def test_affinity_hyperthreads_and_quota_all_count(
    monkeypatch: pytest.MonkeyPatch, allowed: set[int], quotas: list[str], expected: int
) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: allowed, raising=False)
    monkeypatch.setattr(cores, "_read", lambda file: HYPERTHREADS if file.name == "cpuinfo" else "")
    monkeypatch.setattr(cores, "_quotas", lambda: quotas)
    assert available_cores() == expected


def test_this_machine_has_some() -> None:
    assert available_cores() >= 1
