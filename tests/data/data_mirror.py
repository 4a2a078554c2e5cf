"""What the tests of the data package share: a small made-up dataset, and a loopback mirror that can misbehave."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from initbench.data.idx_family import NAMES, IdxFamily, idx_files

PROJECT = Path(__file__).parents[2]
# read at import: a fixture hides the variable from the tests
REAL_ROOT = Path(os.environ.get("INITBENCH_DATA") or PROJECT.parent / "shared" / "data").absolute()


@dataclass(frozen=True)
class Tiny:
    """A dataset of the family made for the tests: 40 + 20 images, their raw IDX bytes and archives by name."""

    family: IdxFamily
    raw: dict[str, bytes]
    archives: dict[str, bytes]

    def put_archives(self, root: Path) -> Path:
        return self._put(root, self.archives)

    def put_extracted(self, root: Path) -> Path:
        return self._put(root, self.raw)

    def _put(self, root: Path, files: dict[str, bytes]) -> Path:
        folder = self.family.folder(root)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder


def images_idx(count: int) -> bytes:
    """IDX bytes of `count` pictures whose pixels are SHAKE-128 of the count: incompressible and fixed."""
    return struct.pack(">IIII", 0x803, count, 28, 28) + hashlib.shake_128(b"%d" % count).digest(count * 28 * 28)


def labels_idx(count: int) -> bytes:
    return struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))


def tiny_dataset() -> Tiny:
    contents = (images_idx(40), labels_idx(40), images_idx(20), labels_idx(20))
    raw = dict(zip(NAMES, contents, strict=True))
    archives = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in raw.items()}
    md5 = [hashlib.md5(data).hexdigest() for data in archives.values()]  # noqa: S324 - what the family publishes
    sha256 = [hashlib.sha256(data).hexdigest() for data in raw.values()]
    return Tiny(IdxFamily("MNIST", idx_files(md5, sha256)), raw, archives)


@dataclass
class Mirror:
    """A loopback HTTP server. `plan[file]` is what each request for it gets in turn; the last one goes on."""

    files: dict[str, bytes]
    url: str = ""
    plan: dict[str, list[str]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def behave(self, *steps: str) -> None:
        self.plan = {name: list(steps) for name in self.files}

    def next_step(self, name: str) -> str:
        self.requests[name] += 1
        steps = self.plan.get(name, ["good"])
        return steps.pop(0) if len(steps) > 1 else steps[0]


class Handler(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        step = self.mirror.next_step(name)
        body = self.mirror.files.get(name, b"")
        if step.isdecimal():
            self.send_error(int(step))
        elif step.startswith("says "):
            self.send_response(403, step.removeprefix("says "))
            self.end_headers()
        elif step.startswith("redirect "):
            self.send_response(302)
            self.send_header("Location", step.removeprefix("redirect ") + name)
            self.end_headers()
        else:
            getattr(self, f"send_{step}")(body)

    def start(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def send_good(self, body: bytes) -> None:
        self.start(len(body))
        self.wfile.write(body)

    def send_slow(self, body: bytes) -> None:
        self.mirror.stop.wait(0.1)  # long enough for other processes to come meanwhile
        self.send_good(body)

    def send_truncated(self, body: bytes) -> None:
        self.start(len(body))
        self.wfile.write(body[: len(body) // 2])

    def send_flipped(self, body: bytes) -> None:
        middle = len(body) // 2
        self.send_good(body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])

    def send_shorter(self, body: bytes) -> None:
        self.send_good(body[:-1])

    def send_longer(self, body: bytes) -> None:
        self.send_good(body + b"\0")

    def send_other(self, body: bytes) -> None:
        self.send_good(next(other for other in self.mirror.files.values() if other != body))

    def send_html(self, body: bytes) -> None:
        self.send_good(b"<html><body>Please log in to this network.</body></html>")

    def send_bomb(self, body: bytes) -> None:
        self.send_good(gzip.compress(bytes(1 << 22), mtime=0))

    def send_endless(self, body: bytes) -> None:
        self.send_response(200)  # without a length: the body ends with the connection
        self.end_headers()
        while not self.mirror.stop.is_set():
            try:
                self.wfile.write(bytes(1 << 16))
            except OSError:
                return

    def send_huge(self, body: bytes) -> None:
        self.start(1 << 60)

    def send_hang(self, body: bytes) -> None:
        self.mirror.stop.wait(30)

    def send_freeze(self, body: bytes) -> None:
        self.start(len(body))
        self.wfile.write(body[:10])
        self.wfile.flush()
        self.mirror.stop.wait(30)

    def send_trickle(self, body: bytes) -> None:
        self.start(len(body))
        for byte in body:
            if self.mirror.stop.wait(0.02):
                return
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return

    def send_reset(self, body: bytes) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST
        self.close_connection = True
        socket.close(self.connection.detach())  # now, before the server shuts the connection down politely

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass  # a client that gave up is what some tests are about


@contextmanager
def running_mirrors() -> Iterator[Callable[[dict[str, bytes]], Mirror]]:
    """Give what starts a loopback mirror with the given files; all stop at the end."""
    running: list[tuple[Mirror, Server]] = []

    def start(files: dict[str, bytes]) -> Mirror:
        mirror = Mirror(files)
        server = Server(("127.0.0.1", 0), type("MirrorHandler", (Handler,), {"mirror": mirror}))
        mirror.url = f"http://127.0.0.1:{server.server_address[1]}/files/"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append((mirror, server))
        return mirror

    try:
        yield start
    finally:
        for mirror, server in running:
            mirror.stop.set()
            server.shutdown()
            server.server_close()
