"""A connection to a Ray cluster: one that is there, or one on this machine that is started and ended here."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from initbench.errors import InitbenchError, UsageError

REACH_S = 5  # how long a cluster's address may take to answer
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # RFC 9113, 3.4: and no settings
HTTP2_SETTINGS = 4  # the type of the frame that a server's answer begins with
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "3",  # without it, a task that needs too much memory is tried for ever
}


@contextlib.contextmanager
def connected(workers: int, address: str | None) -> Iterator[None]:
    """Be connected to the cluster at `address` ("auto", "host:port"), or to one of `workers` CPUs that is started here.

    Where this process is connected already, that connection is used, and stays. Ray's own messages are not printed:
    it would print them on stdout. Raises InitbenchError where the cluster cannot be reached or started.
    """
    import ray
    from ray._private import worker as ray_worker

    if address not in (None, "auto"):
        _check_reachable(str(address))
    before = ray_worker._worker_logs_enabled
    ray_worker._worker_logs_enabled = False
    try:
        if ray.is_initialized():
            yield
            return
        try:
            _connect(workers, address)
            yield
        finally:
            ray.shutdown(wait_for_processes=True)
    finally:
        ray_worker._worker_logs_enabled = before


def _connect(workers: int, address: str | None) -> None:
    import ray

    options: dict[str, Any] = {"address": address}
    if address is None:  # "local", as None would mean the cluster that the variable RAY_ADDRESS names
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    try:
        with _environment(), _sigterm_kept():
            ray.init(**options, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        what = "a local Ray cluster cannot be started" if address is None else f"no Ray cluster at {address!r}"
        raise InitbenchError(f"{what}: {str(error).strip()}") from error


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set the variables that Ray reads when it starts, where they are not set."""
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep what this process does on SIGTERM: Ray sets a handler of its own, which ends with another exit code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    terminated = False
    try:
        yield
    except SystemExit:  # Ray's handler, while it connects
        terminated = True
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if terminated:
            signal.raise_signal(signal.SIGTERM)


def _check_reachable(address: str) -> None:
    """Raise InitbenchError where nothing answers as Ray does (gRPC over HTTP/2): Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"Ray address {address!r}: give 'auto', or 'host:port' as `ray start --head` prints it.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(HTTP2_HELLO)
                answer = connection.recv(9, socket.MSG_WAITALL)  # the head of a frame; its type is the fourth byte
                if answer[3:4] != bytes([HTTP2_SETTINGS]):
                    raise ConnectionError("what answers is no Ray cluster")
    except (OSError, OverflowError) as error:
        raise InitbenchError(f"no Ray cluster at {address!r}: {error or type(error).__name__}.") from error
