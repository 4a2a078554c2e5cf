"""What all tests share: no network, no data but what a test asks for, a pinned terminal."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from initbench import plugins

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests run beside each other, one a core
ASKED_ROOT = os.environ.get("INITBENCH_DATA")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, 100 columns wide, with an empty cache, a mirror at which nothing listens, no plugins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_loaded", {})
    for name in ("INITBENCH_DATA", "INITBENCH_RUNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("INITBENCH_MIRROR", "http://127.0.0.1:9/closed/")


@pytest.fixture(autouse=True)
def signals_kept() -> Iterator[None]:
    """Leave Ctrl-C to pytest: the program, called by a test, takes SIGINT and SIGTERM for itself and keeps them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def mnist_root() -> Path:
    """The folder with the real MNIST, in torchvision's layout; skips where INITBENCH_DATA does not name one."""
    root = Path(ASKED_ROOT) if ASKED_ROOT else None
    if root is None or not (root / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real MNIST: set INITBENCH_DATA to a folder in torchvision's layout that has it")
    return root.resolve()


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork worker processes from one that has imported torch, for tests that are not about how they start."""
    from reliability.processes import start_server

    start_server()
    monkeypatch.setattr("initbench.execute.workers._SPAWN", multiprocessing.get_context("forkserver"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A Ray cluster of one node with two CPUs, for the tests of the group "ray", which share a process."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(before)
