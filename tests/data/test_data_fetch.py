"""The download path against a real loopback server: what it does with good, bad, slow and absent answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from data_mirror import PROJECT, Mirror, Tiny

from initbench.data.download import Limits
from initbench.data.fetch import FAILURE_NAME, LOCK_NAME, fetch
from initbench.data.idx_family import NAMES
from initbench.data.sources.mnist import MD5
from initbench.errors import DataError

QUICK = Limits(reach_s=1.0, least_reach_s=0.5, read_s=0.3, stall_s=0.2, stall_bytes=1000, tries=3, backoff_s=0.01)
ALL_IN_PLACE = {f"{name}.gz" for name in NAMES} | {LOCK_NAME}


def get(tiny: Tiny, folder: Path, *urls: str, **kwargs: object) -> None:
    fetch(tiny.family.files, folder, lambda: list(urls), limits=QUICK, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("temporary", ["good", "503", "truncated", "reset", "freeze"])
def test_fetches_every_file_once_more_after_a_passing_fault(
    temporary: str, tiny: Tiny, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.behave(*{temporary: 0, "good": 0})
    get(tiny, tmp_path / "raw", mirror.url)
    assert {p.name for p in (tmp_path / "raw").iterdir()} == ALL_IN_PLACE
    assert all((tmp_path / "raw" / name).read_bytes() == data for name, data in tiny.archives.items())
    assert set(mirror.requests.values()) == {1 if temporary == "good" else 2}


@pytest.mark.parametrize(
    ("fault", "said", "requests"),
    [
        ("403", "HTTP 403", 1),
        ("404", "HTTP 404", 1),
        ("503", "HTTP 503", 3),
        ("truncated", "broke off after", 3),
        ("flipped", "not the published file: MD5", 1),
        ("reset", "reset", 3),
        ("trickle", "stalled", 3),
        (
            "redirect http://192.0.2.1/",
            "redirected to http://192.0.2.1/train-images-idx3-ubyte.gz, which is not https",
            1,
        ),
        ("redirect ftp://192.0.2.1/", "which is not https", 1),
    ],
)
def test_lasting_fault_is_named_and_leaves_nothing_behind(
    fault: str, said: str, requests: int, tiny: Tiny, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.behave(fault)
    with pytest.raises(DataError) as caught:
        get(tiny, tmp_path / "raw", mirror.url)
    assert said in str(caught.value)
    assert mirror.url in str(caught.value)
    assert mirror.requests == {"train-images-idx3-ubyte.gz": requests}
    assert {p.name for p in (tmp_path / "raw").iterdir()} == {LOCK_NAME, FAILURE_NAME}


def test_what_a_server_says_is_one_short_line_that_steers_no_terminal(
    tiny: Tiny, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.behave("says \x1b[31mred\x1b]0;title\x07" + "x" * 1_000)
    with pytest.raises(DataError, match=r"HTTP 403 \?\[31mred\?\]0;title\?x+\)$") as caught:
        get(tiny, tmp_path, mirror.url)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
@pytest.mark.parametrize("name", [".train-images-idx3-ubyte.gz.part", FAILURE_NAME, ".initbench.part"])
def test_what_lies_where_a_download_writes_is_neither_waited_for_nor_written_through(
    kind: str, name: str, tiny: Tiny, mirror: Mirror, tmp_path: Path
) -> None:
    folder, precious = tmp_path / "raw", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("precious")
    {"pipe": os.mkfifo, "link": lambda at: at.symlink_to(precious), "folder": Path.mkdir}[kind](folder / name)
    mirror.behave("403" if "train" not in name else "good")
    try:
        get(tiny, folder, mirror.url)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may as well succeed
    assert precious.read_text() == "precious"
    assert not (folder / "train-images-idx3-ubyte.gz").is_symlink()


@pytest.mark.parametrize("fault", ["403", "404", "flipped", "503", "truncated", "reset", "hang"])
def test_next_mirror_takes_over_and_is_asked_first_from_then_on(
    fault: str, tiny: Tiny, mirror: Mirror, serve: Callable[[dict[str, bytes]], Mirror], tmp_path: Path
) -> None:
    bad = serve(tiny.archives)
    bad.behave(fault)
    get(tiny, tmp_path / "raw", bad.url, mirror.url)
    assert set(bad.requests) == {"train-images-idx3-ubyte.gz"}
    assert set(mirror.requests.values()) == {1}
    assert {p.name for p in (tmp_path / "raw").iterdir()} == ALL_IN_PLACE


def test_follows_a_redirect_that_stays_on_this_machine(
    tiny: Tiny, mirror: Mirror, serve: Callable[[dict[str, bytes]], Mirror], tmp_path: Path
) -> None:
    first = serve(tiny.archives)
    first.behave(f"redirect {mirror.url}")
    get(tiny, tmp_path / "raw", first.url)
    assert len(mirror.requests) == 4


def test_plain_http_to_elsewhere_is_not_even_tried(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked a host up"))
    with pytest.raises(DataError, match="not an https address"):
        get(tiny, tmp_path, "http://example.org/")


@pytest.mark.parametrize("hangs", ["the answer", "the name look-up"])
def test_unreachable_is_found_out_in_time_over_all_mirrors(
    hangs: str, tiny: Tiny, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.behave("hang")
    if hangs == "the name look-up":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: mirror.stop.wait(30))
    start = time.monotonic()
    with pytest.raises(DataError, match="no answer"):
        get(tiny, tmp_path, *[mirror.url + f"{number}/" for number in range(5)])
    assert time.monotonic() - start < QUICK.reach_s + 0.7


def test_default_patience_is_within_ten_seconds() -> None:
    assert Limits().reach_s < 10


def test_those_who_wait_fail_with_the_one_who_tried(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    mirror.behave("hang")
    errors: list[str] = []

    def attempt() -> None:
        with pytest.raises(DataError) as caught:
            get(tiny, tmp_path, mirror.url)
        errors.append(str(caught.value))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start < 2 * QUICK.reach_s + 1  # and not eight times
    assert len(errors) == 8
    assert all("no answer" in error for error in errors)


def test_a_noted_failure_does_not_stop_the_next_attempt(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    mirror.behave("403")
    with pytest.raises(DataError):
        get(tiny, tmp_path, mirror.url)
    mirror.behave("good")
    get(tiny, tmp_path, mirror.url)
    assert {p.name for p in tmp_path.iterdir()} == ALL_IN_PLACE


def test_larger_than_any_such_file_is_refused(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than any file of its kind"):
        fetch(tiny.family.files, tmp_path, lambda: [mirror.url], limits=Limits(max_bytes=100))


def test_bad_archive_is_set_aside_named_and_fetched_again(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    folder = tiny.put_archives(tmp_path)
    bad = folder / "t10k-images-idx3-ubyte.gz"
    bad.write_bytes(b"<html>login</html>")
    (folder / f"{bad.name}.bad").write_bytes(b"an earlier one")
    messages: list[str] = []
    get(tiny, folder, mirror.url, notify=messages.append)
    assert bad.read_bytes() == tiny.archives[bad.name]
    assert (folder / f"{bad.name}.bad-2").read_bytes() == b"<html>login</html>"
    assert (folder / f"{bad.name}.bad").read_bytes() == b"an earlier one"
    assert mirror.requests == {bad.name: 1}
    assert len(messages) == 1
    assert str(bad) in messages[0]
    assert f"{bad.name}.bad-2" in messages[0]


def test_progress_ends_at_the_size_of_each_file(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    last: dict[str, tuple[int, int | None]] = {}
    get(tiny, tmp_path, mirror.url, progress=lambda name, done, total: last.update({name: (done, total)}))
    assert last == {name: (len(data), len(data)) for name, data in tiny.archives.items()}


def test_read_only_folder_is_an_error_before_any_request(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(DataError, match="read-only"):
            get(tiny, tmp_path / "raw", mirror.url)
    finally:
        tmp_path.chmod(0o755)
    assert not mirror.requests
    assert not list(tmp_path.iterdir())


PROCESS = """
import json, sys
from pathlib import Path
from initbench.data.fetch import fetch
from initbench.data.idx_family import idx_files
from initbench.data.mirrors import mirrors
md5, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
fetch(idx_files(md5), folder, lambda: mirrors("MNIST", ()))
assert not {"torch", "torchvision", "scipy", "sklearn"} & set(sys.modules)
"""


def fetch_in_processes(count: int, md5: list[str], folder: Path, url: str) -> list[int]:
    """Let `count` cold processes fetch at the same moment; returns their exit codes."""
    command = [sys.executable, "-c", PROCESS, json.dumps(md5), str(folder)]
    environment = {**os.environ, "INITBENCH_MIRROR": url}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, cwd=PROJECT, env=environment, **pipes) for _ in range(count)]  # type: ignore[call-overload]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        process.communicate(timeout=60)
    return [process.returncode for process in running]


def test_eight_cold_processes_make_one_download(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    mirror.behave("slow")
    md5 = [file.md5 for file in tiny.family.files]
    assert fetch_in_processes(8, md5, tmp_path / "raw", mirror.url) == [0] * 8
    assert mirror.requests == dict.fromkeys(tiny.archives, 1)
    assert {p.name for p in (tmp_path / "raw").iterdir()} == ALL_IN_PLACE


@pytest.mark.mnist
def test_eight_cold_processes_make_one_download_of_the_real_mnist(
    real_root: Path, serve: Callable[[dict[str, bytes]], Mirror], tmp_path: Path
) -> None:
    names = [f"{name}.gz" for name in NAMES]
    files = {name: (real_root / "MNIST" / "raw" / name).read_bytes() for name in names}
    real = serve(files)
    assert fetch_in_processes(8, list(MD5), tmp_path / "raw", real.url) == [0] * 8
    assert real.requests == dict.fromkeys(names, 1)
    assert all((tmp_path / "raw" / name).read_bytes() == data for name, data in files.items())


def test_the_lock_and_half_file_of_a_killed_process_are_no_obstacle(tiny: Tiny, mirror: Mirror, tmp_path: Path) -> None:
    mirror.behave("freeze")
    md5 = [file.md5 for file in tiny.family.files]
    command = [sys.executable, "-c", PROCESS, json.dumps(md5), str(tmp_path)]
    environment = {**os.environ, "INITBENCH_MIRROR": mirror.url}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        while not (tmp_path / ".train-images-idx3-ubyte.gz.part").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    mirror.behave("good")
    get(tiny, tmp_path, mirror.url)
    assert {p.name for p in tmp_path.iterdir()} == ALL_IN_PLACE
