"""Fixtures of the data package's tests: nothing on disk, nothing reachable, but what a test sets up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data_mirror import REAL_ROOT, Mirror, Tiny, running_mirrors, tiny_dataset

from initbench.data import datasets


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data, mirror or proxy but what a test sets up; the closed mirror keeps every test off the network."""
    for name in ("INITBENCH_DATA", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("INITBENCH_MIRROR", "http://127.0.0.1:9/closed/")  # the discard port: nothing listens


@pytest.fixture
def real_root() -> Path:
    if not (REAL_ROOT / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"the real MNIST archives are not in {REAL_ROOT}; set INITBENCH_DATA to a root that has them")
    return REAL_ROOT


@pytest.fixture
def tiny() -> Tiny:
    return tiny_dataset()


@pytest.fixture
def tiny_as_mnist(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny dataset under the name `mnist`."""
    monkeypatch.setitem(datasets._items, "mnist", tiny.family)
    return tiny


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], Mirror]]:
    """Start loopback mirrors with the given files; all stop at the end of the test."""
    with running_mirrors() as start:
        yield start


@pytest.fixture
def mirror(tiny: Tiny, serve: Callable[[dict[str, bytes]], Mirror]) -> Mirror:
    """A well-behaved mirror of the tiny dataset."""
    return serve(tiny.archives)
