"""Ray clusters: one that is started for the call, and addresses at which there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from execute_jobs import count

from initbench import events
from initbench.errors import InitbenchError, UsageError
from initbench.execute import executor_for

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),  # JAX's, where a test imported it; Ray forks to exec
]
PROGRAM = """
import os, signal, sys
from execute_jobs import Result, Shared, Task, work

def terminated(number, frame):
    sys.exit(143)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, terminated)
    from initbench.execute import executor_for

    tasks = [Task(0, "die once"), *(Task(number) for number in range(1, 8))]
    for task, result in executor_for("ray", 2)(tasks, work, Shared(sys.argv[1]), lambda event: None):
        print(task.number, result.number)
    assert signal.getsignal(signal.SIGTERM) is terminated
    assert not os.popen(f"pgrep --parent {os.getpid()} 'raylet|gcs'").read()
"""


def test_a_cluster_of_its_own_is_quiet_and_ends_with_the_call(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "RAY_ADDRESS": "127.0.0.1:9"}
    ended = subprocess.run([sys.executable, script, tmp_path], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(ended.stdout.splitlines()) == [f"{number} {number}" for number in range(8)]


@pytest.mark.parametrize("address", ["ray://localhost:10001", "localhost", "http://localhost:6379/", ":6379", "a:b"])
def test_an_address_of_another_form_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="give 'auto', or 'host:port'"):
        list(executor_for("ray", 1, address)([1], count, 1, events.ignore))


def test_nothing_at_the_address_is_one_clear_error() -> None:
    with pytest.raises(InitbenchError, match=r"no Ray cluster at '127.0.0.1:9': .*refused"):
        list(executor_for("ray", 1, "127.0.0.1:9")([1], count, 1, events.ignore))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_something_else_at_the_address_is_one_clear_error(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, answer))
        thread.start()
        with pytest.raises(InitbenchError, match="what answers is no Ray cluster"):
            list(executor_for("ray", 1, f"127.0.0.1:{server.getsockname()[1]}")([1], count, 1, events.ignore))
        thread.join()


def _answer(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(answer)


def test_no_cluster_on_this_machine_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    import ray

    ray.shutdown()  # the connection of another test would be used
    monkeypatch.setattr("ray.init", none_found)  # as there may be one
    with pytest.raises(InitbenchError, match="no Ray cluster at 'auto': Could not find any"):
        list(executor_for("ray", 1, "auto")([1], count, 1, events.ignore))
