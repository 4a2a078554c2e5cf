"""What is shared arrives with the same bytes, and is mapped, not copied."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from execute_jobs import memory_bytes
from numpy.typing import NDArray

from initbench import events
from initbench.errors import InitbenchError
from initbench.execute import executor_for
from initbench.execute.sharing import InBand, InFile, share

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Pair:
    name: str
    array: NDArray[Any]


def arrays() -> dict[str, NDArray[Any]]:
    numbers = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    return {
        "plain": numbers,
        "fortran": np.asfortranarray(numbers),
        "not contiguous": numbers[:, ::2],
        "empty": np.zeros((0, 7)),
        "one byte": np.array([7], dtype=np.uint8),
        "objects": np.array(["a", None], dtype=object),
    }


@pytest.mark.parametrize("way", ["file", "in-band"])
def test_nested_objects_arrive_with_the_same_bytes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "in-band":
        monkeypatch.delattr(reduction, "DupFd")
    given = {"pairs": [Pair(name, array) for name, array in arrays().items()], "twice": arrays()["plain"]}
    with share(given) as shared:
        assert isinstance(shared, InFile if way == "file" else InBand)
        received = shared.open()
    assert [pair.name for pair in received["pairs"]] == list(arrays())
    for pair in received["pairs"]:
        expected = arrays()[pair.name]
        assert pair.array.dtype == expected.dtype
        assert np.array_equal(pair.array, expected)
        assert pair.array.flags.writeable  # torch.from_numpy warns where it is not


def test_buffers_are_aligned_and_an_array_that_is_there_twice_is_sent_once() -> None:
    array, odd = np.ones(1000), np.ones(3, dtype=np.uint8)
    with share([odd, array, array]) as shared:
        received = shared.open()
    assert all(each.ctypes.data % 64 == 0 for each in received)
    assert received[1] is received[2]


def test_the_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with share(np.ones(1000)):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        with pytest.raises(InitbenchError, match=r"\(No space left on device\); set TMPDIR"):
            share(np.ones(1000))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory in /proc")
def test_workers_share_the_memory() -> None:
    array = np.ones(128 * MEBIBYTE, dtype=np.uint8)
    results = dict(executor_for("processes", 2)(range(2), memory_bytes, array, events.ignore))
    for total, anonymous in results.values():
        assert total == array.nbytes
        assert anonymous < array.nbytes / 2  # Python and numpy themselves
