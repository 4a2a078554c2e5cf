"""Bad data, on the disk and from a server: found out each time, said in one error, and nothing is trained on it."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from data.data_mirror import Mirror, Tiny, running_mirrors, tiny_dataset

import initbench.bench  # noqa: F401 - torch is imported before any clock runs
from initbench.cli.app import main
from initbench.data import datasets, fetch
from initbench.data.download import Limits
from initbench.data.fetch import FAILURE_NAME, LOCK_NAME
from initbench.data.idx_family import NAMES

QUICK = Limits(
    reach_s=0.5,
    least_reach_s=0.3,
    read_s=0.2,
    stall_s=0.2,
    stall_bytes=1000,
    tries=2,
    backoff_s=0.01,
    max_bytes=1 << 20,
)
LONGEST_S = 10.0  # of a command that gives up, with these limits, on a busy machine
CONFIG = "{model: {hidden: [4]}, data: {batch_size: 10, limit: 20}, train: {epochs: 1}}"
HEADER = 10  # bytes: inside that of an IDX file (8 or 16) and after that of an archive

Bytes = Callable[[bytes], bytes]
Put = Callable[[Path], None]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    wall_s: float

    @property
    def dataset(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)["dataset"]
        return found


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ended]:
    """Run `initbench run` on a data folder, with limits that do not let a test wait."""
    monkeypatch.setattr(fetch, "Limits", lambda: QUICK)
    monkeypatch.setenv("COLUMNS", "500")
    (tmp_path / "config.yaml").write_text(CONFIG)

    def run(root: Path, *options: str) -> Ended:
        fixed = ["run", "config.yaml", "--quiet", "--format", "json", "--runs-dir", "runs", "--data-dir", str(root)]
        monkeypatch.setattr(sys, "argv", ["initbench", *fixed, *options])
        start = time.perf_counter()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err, time.perf_counter() - start)

    return run


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A small dataset under the name `mnist`."""
    made = tiny_dataset()
    monkeypatch.setitem(datasets._items, "mnist", made.family)
    return made


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], Mirror]]:
    with running_mirrors() as start:
        yield start


@pytest.fixture
def good_sha256(tiny: Tiny, command: Callable[..., Ended], tmp_path: Path) -> str:
    """The fingerprint of the images that a run uses of undamaged files."""
    ended = command(tiny.put_archives(tmp_path / "good").parents[1], "--no-fallback", "--seed", "1000")
    shutil.rmtree(tmp_path / "runs")
    assert ended.dataset["stand_in_for"] is None
    return str(ended.dataset["sha256"])


def kept_files(runs: Path) -> list[Path]:
    return [path for path in runs.rglob("*") if path.is_file()]


def refused(ended: Ended, *said: str) -> None:
    """One error with its remedy, in time, and nothing in the runs folder of the current one."""
    assert ended.code == 1, ended.err
    assert ended.out == ""
    assert ended.err.count("error: ") == 1
    error = ended.err.splitlines()[-1]
    assert error.startswith("error: mnist is neither on disk nor reachable: ")
    assert "`initbench data fetch mnist`" in error
    assert "Traceback" not in ended.err
    for text in said:
        assert text in ended.err
    assert ended.wall_s < LONGEST_S
    assert kept_files(Path("runs")) == []


def flip(position: int, bit: int) -> Bytes:
    return lambda good: good[:position] + bytes([good[position] ^ 1 << bit]) + good[position + 1 :]


def bomb(good: bytes) -> bytes:
    return gzip.compress(bytes(1 << 24), mtime=0)


DAMAGE: dict[str, Bytes] = {
    "truncated to nothing": lambda good: b"",
    "truncated in the header": lambda good: good[:HEADER],
    "truncated by half": lambda good: good[: len(good) // 2],
    "the last byte missing": lambda good: good[:-1],
    "a byte more": lambda good: good + b"\0",
    "another archive behind": lambda good: good + gzip.compress(b"more", mtime=0),
    "a bit flipped": lambda good: flip(len(good) // 2, 3)(good),
    "a bomb": bomb,
}


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has 107 characters at most
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


IN_ITS_PLACE: dict[str, Put] = {
    "a folder": Path.mkdir,
    "a pipe": a_pipe,
    "a socket": a_socket,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path: path.symlink_to(path.parent),
}


def unreadable(path: Path) -> None:
    path.touch(mode=0)


if os.geteuid() != 0:  # root may read every file
    IN_ITS_PLACE["an unreadable file"] = unreadable


def faults(files: Mapping[str, bytes], name: str) -> Iterator[tuple[str, Put]]:
    """Yield what can be wrong with the file `name` of `files`, and what puts it there."""
    for label, damaged in DAMAGE.items():
        yield label, lambda path, damaged=damaged: path.write_bytes(damaged(files[name])) and None
    for other in files:
        if other != name:
            yield f"swapped with {other}", lambda path, other=other: path.write_bytes(files[other])
    yield from IN_ITS_PLACE.items()


def with_fault(folder: Path, files: Mapping[str, bytes], name: str, put: Put) -> Path:
    """Write `files` into a folder of its own, with the fault in place of `name`; return the root."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, data in files.items():
        if file != name:
            (raw / file).write_bytes(data)
    put(raw / name)
    return folder


def all_faults(tiny: Tiny, every: bool) -> list[tuple[Mapping[str, bytes], str, str, Put]]:
    """Return (files, name, fault, what puts it): each fault of each file in each form, or of one file each."""
    found = [
        (files, name, fault, put)
        for files in (tiny.archives, tiny.raw)
        for name in files
        for fault, put in faults(files, name)
    ]
    kinds = len(DAMAGE) + len(NAMES) - 1 + len(IN_ITS_PLACE)
    turned = (index // kinds == index % (2 * len(NAMES)) for index in range(len(found)))
    return found if every else list(itertools.compress(found, turned))


def test_a_bad_file_is_never_trained_on(
    tiny: Tiny, command: Callable[..., Ended], tmp_path: Path, full: bool, figure: Callable[[str, str], None]
) -> None:
    longest_s, tried = 0.0, all_faults(tiny, full)
    assert {fault.partition(" with ")[0] for _, _, fault, _ in tried} == {*DAMAGE, *IN_ITS_PLACE, "swapped"}
    for number, (files, name, _, put) in enumerate(tried):
        ended = command(with_fault(tmp_path / str(number), files, name, put), "--no-fallback")
        refused(ended, name)
        longest_s = max(longest_s, ended.wall_s)
    figure(
        "data faults: files",
        f"{len(tried)} damaged, swapped or replaced files, no network: {len(tried)} refused in one error each,"
        f" 0 runs trained, {longest_s:.2f} s at most",
    )


def test_a_flipped_bit_anywhere_is_noticed(
    tiny: Tiny,
    command: Callable[..., Ended],
    tmp_path: Path,
    count: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    """Any bit: of the pixels, of a label, of the sizes, and of what an archive stores beside its content."""
    draw, tries = random.Random(5), count(10, 1_000)  # noqa: S311 - a test's own stream
    for number in range(tries):
        files = draw.choice([tiny.archives, tiny.raw])
        name = draw.choice(list(files))
        damaged = flip(draw.randrange(len(files[name])), draw.randrange(8))(files[name])
        root = with_fault(tmp_path / str(number), files, name, lambda path, data=damaged: path.write_bytes(data))
        refused(command(root, "--no-fallback"), name, "is not the published file")
        shutil.rmtree(root)
    figure("data faults: flipped bits", f"{tries:,} of {tries:,} noticed, 0 runs trained")


def test_a_bad_file_is_replaced_where_a_mirror_has_it(
    tiny: Tiny,
    command: Callable[..., Ended],
    serve: Callable[[dict[str, bytes]], Mirror],
    good_sha256: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full: bool,
    figure: Callable[[str, str], None],
) -> None:
    mirror = serve(tiny.archives)
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    tried = all_faults(tiny, full)[:: 1 if full else 4]
    for number, (files, name, _, put) in enumerate(tried):
        mirror.requests.clear()
        ended = command(with_fault(tmp_path / str(number), files, name, put), "--no-fallback", "--seed", str(number))
        assert (ended.code, ended.dataset["sha256"], ended.dataset["stand_in_for"]) == (0, good_sha256, None)
        assert dict(mirror.requests) == {name.removesuffix(".gz") + ".gz": 1}
    figure("data faults: files, with a mirror", f"{len(tried)} of {len(tried)} replaced by the published file")


@pytest.mark.parametrize("fault", [*IN_ITS_PLACE, "a bit flipped"])
def test_a_good_archive_beside_a_bad_extracted_file_is_used(
    fault: str, tiny: Tiny, command: Callable[..., Ended], good_sha256: str, tmp_path: Path
) -> None:
    put = dict(faults(tiny.raw, NAMES[0]))[fault]
    raw = tiny.put_archives(tmp_path / "root")
    put(raw / NAMES[0])
    ended = command(tmp_path / "root", "--no-fallback")
    assert (ended.code, ended.dataset["sha256"], ended.dataset["stand_in_for"]) == (0, good_sha256, None)


SERVER: dict[str, str] = {  # how a server may fail, and what is said of it
    "403": "HTTP 403",
    "404": "HTTP 404",
    "503": "HTTP 503",
    "hang": "no answer",
    "freeze": "no answer in time",
    "trickle": "stalled",
    "reset": "reset",
    "truncated": "broke off after",
    "flipped": "not the published file",
    "other": "not the published file",
    "shorter": "not the published file",
    "longer": "not the published file",
    "html": "not the published file",
    "bomb": "not the published file",
    "endless": "more than 1048576 bytes sent",
    "huge": "bytes announced, more than any file of its kind has",
    "redirect SELF": "HTTP 302",
    "redirect file:///etc/": "HTTP 302 Found - Redirection to url 'file:///etc/",
    "redirect http://192.0.2.1/": "which is not https",
}


def test_a_bad_server_is_named_and_nothing_of_it_is_kept(
    tiny: Tiny,
    command: Callable[..., Ended],
    serve: Callable[[dict[str, bytes]], Mirror],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full: bool,
    figure: Callable[[str, str], None],
) -> None:
    longest_s = 0.0
    names = list(tiny.archives)
    tried = [(fault, name) for fault in SERVER for name in names]
    tried = tried if full else [(fault, names[index % len(names)]) for index, fault in enumerate(SERVER)]
    for number, (fault, name) in enumerate(tried):
        mirror = serve(tiny.archives)
        mirror.plan = {name: [fault.replace("SELF", mirror.url)]}
        monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
        root = tmp_path / str(number)
        root.mkdir()
        ended = command(root, "--no-fallback")
        refused(ended, f"{name} could not be downloaded ({mirror.url}: ", SERVER[fault])
        left = {path.name: path.read_bytes() for path in (root / "MNIST" / "raw").iterdir()}
        assert left.keys() == {*names[: names.index(name)], LOCK_NAME, FAILURE_NAME}
        assert all(left[good] == tiny.archives[good] for good in left if good in names)
        longest_s = max(longest_s, ended.wall_s)
        mirror.stop.set()
    figure(
        "data faults: server",
        f"{len(SERVER)} kinds, {len(tried)} tries: each named, nothing kept, 0 runs trained; {longest_s:.1f} s at most"
        f" with a patience of {QUICK.reach_s} s for the first and {QUICK.read_s} s for each further answer",
    )


@pytest.mark.parametrize("fault", ["503", "html", "flipped"])
def test_the_stand_in_is_named_wherever_it_is_used(
    fault: str,
    tiny: Tiny,
    command: Callable[..., Ended],
    serve: Callable[[dict[str, bytes]], Mirror],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror = serve(tiny.archives)
    mirror.behave(fault)
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    root = with_fault(tmp_path / "root", tiny.archives, f"{NAMES[1]}.gz", lambda path: path.write_bytes(b""))
    ended = command(root)
    assert ended.code == 0
    assert (ended.dataset["name"], ended.dataset["stand_in_for"]) == ("digits", "mnist")
    assert "digits stands in for it" in ended.err
    assert SERVER[fault] in ended.err


@pytest.mark.mnist
def test_the_real_mnist_damaged_is_never_trained_on(
    mnist_root: Path,
    command: Callable[..., Ended],
    tmp_path: Path,
    count: Callable[[int, int], int],
    full: bool,
    figure: Callable[[str, str], None],
) -> None:
    archives = {f"{name}.gz": (mnist_root / "MNIST" / "raw" / f"{name}.gz").read_bytes() for name in NAMES}
    forms = [archives, {name: gzip.decompress(archives[f"{name}.gz"]) for name in NAMES}] if full else [archives]
    draw = random.Random(7)  # noqa: S311 - a test's own stream
    tried = 0
    for files in forms:
        for name in files:
            puts = [put for _, put in faults(files, name)] if full else []
            puts += [a_flipped_bit(files[name], draw) for _ in range(count(1, 10))]
            for put in puts:
                refused(command(with_fault(tmp_path / "root", files, name, put), "--no-fallback"), name)
                shutil.rmtree(tmp_path / "root")
            tried += len(puts)
    figure("data faults: the real MNIST", f"{tried} damaged files: {tried} refused, 0 runs trained")


def a_flipped_bit(good: bytes, draw: random.Random) -> Put:
    damaged = flip(draw.randrange(len(good)), draw.randrange(8))(good)
    return lambda path: path.write_bytes(damaged) and None
