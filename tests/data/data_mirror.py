"""What the tests of the data package share: a small made-up dataset, and a loopback mirror that can misbehave."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from initbench.data.idx_family import IdxFamily

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
