"""Fixtures of the data package's tests: nothing on disk, nothing reachable, but what a test sets up."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data_mirror import REAL_ROOT, Handler, Mirror, Server, Tiny, images_idx, labels_idx

from initbench.data import datasets
from initbench.data.idx_family import NAMES, IdxFamily, idx_files


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
    contents = (images_idx(40), labels_idx(40), images_idx(20), labels_idx(20))
    raw = dict(zip(NAMES, contents, strict=True))
    archives = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in raw.items()}
    md5 = [hashlib.md5(data).hexdigest() for data in archives.values()]  # noqa: S324 - what the family publishes
    sha256 = [hashlib.sha256(data).hexdigest() for data in raw.values()]
    return Tiny(IdxFamily("MNIST", idx_files(md5, sha256)), raw, archives)


@pytest.fixture
def tiny_as_mnist(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny dataset under the name `mnist`."""
    monkeypatch.setitem(datasets._items, "mnist", tiny.family)
    return tiny


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], Mirror]]:
    """Start loopback mirrors with the given files; all stop at the end of the test."""
    running: list[tuple[Mirror, Server]] = []

    def start(files: dict[str, bytes]) -> Mirror:
        mirror = Mirror(files)
        server = Server(("127.0.0.1", 0), type("MirrorHandler", (Handler,), {"mirror": mirror}))
        mirror.url = f"http://127.0.0.1:{server.server_address[1]}/files/"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append((mirror, server))
        return mirror

    yield start
    for mirror, server in running:
        mirror.stop.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirror(tiny: Tiny, serve: Callable[[dict[str, bytes]], Mirror]) -> Mirror:
    """A well-behaved mirror of the tiny dataset."""
    return serve(tiny.archives)
