"""A disk that is full, read-only or gone: one clear error, earlier runs readable; the same command goes on later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import needs_proc
from processes import Command, Ended, dice_of, finish, start
from tampering import FilesLimited
from trainings import left_after_next_start, numbers_of, result_in, runs_in, undisturbed, write_config

if TYPE_CHECKING:
    from reliability.conftest import Count, Figure

pytestmark = needs_proc
DISK_KIB = 8_192
EARLIER = ["--seed", "1000"]  # a run that is there before anything goes wrong


class Disk:
    """A small disk of its own: a tmpfs in a mount namespace, which ends with the process that holds it."""

    def __init__(self, holder: subprocess.Popen[str], mount_point: Path) -> None:
        self._holder = holder
        self._mount_point = mount_point
        self.folder = Path(f"/proc/{holder.pid}/root{mount_point}")

    def do(self, command: str) -> bool:
        """Let the holder do a shell command; return whether it could."""
        assert self._holder.stdin
        assert self._holder.stdout
        try:
            self._holder.stdin.write(f"{command} && echo yes || echo no\n")
            self._holder.stdin.flush()
        except BrokenPipeError:
            return False
        return self._holder.stdout.readline() == "yes\n"

    def remount(self, how: str) -> None:
        """Mount it read-only (ro) or not (rw)."""
        assert self.do(f"mount -o remount,{how} {self._mount_point}")

    def leave_free(self, kib: int) -> None:
        """Fill it but for so much."""
        filler = self.folder / "filler"
        filler.unlink(missing_ok=True)
        free = os.statvfs(self.folder)
        with filler.open("wb") as file:
            file.write(bytes(max(0, free.f_bavail * free.f_frsize - kib * 1024)))

    def free(self) -> None:
        """Take the filler away."""
        (self.folder / "filler").unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small disk; skip where that is not allowed."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux) for a disk of its own")
    with subprocess.Popen(
        alone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as holder:
        one = Disk(holder, mount_point)
        mounted = one.do(f"mount -t tmpfs -o size={DISK_KIB}k tmpfs {mount_point}") and one.folder.is_dir()
        if mounted:
            yield one
        holder.kill()
    if not mounted:
        pytest.skip("needs a disk of its own: mounting in a namespace (unshare) is not allowed here")


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(
    disk: Disk, tmp_path: Path, full: bool, figure: Figure
) -> None:
    if not full:
        pytest.skip("in the full version; the short one is that of files which may not grow")
    levels, with_workers = 50, 2
    config, runs = write_config(tmp_path, epochs=6), disk.folder / "runs"
    expected = numbers_of(undisturbed(config, tmp_path / "undisturbed"))
    arguments = ["run", str(config), "--runs-dir", str(runs)]
    assert finish([*arguments, *EARLIER], tmp_path).code == 0
    needed_kib = _needed_kib(disk, tmp_path, arguments)
    errors, finished, problems = 0, 0, list[str]()
    for level in range(levels):
        kib = needed_kib * level // levels
        disk.leave_free(kib)
        ended = finish([*arguments, *(["--seed", "0"] if level % 2 else [])], tmp_path)
        errors, finished = errors + (ended.code == 1), finished + (ended.code == 0)
        found = _unclear(ended) + _earlier_unreadable(tmp_path, runs)
        disk.free()
        problems += [f"{kib} KiB: {problem}" for problem in [*found, *_goes_on(tmp_path, arguments, runs, expected)]]
    for level in range(with_workers):
        disk.leave_free(needed_kib * (level + 1) // 3)
        found = _unclear(finish(_compare(config, runs), tmp_path)) + _earlier_unreadable(tmp_path, runs)
        disk.free()
        problems += [
            f"-j 2: {problem}" for problem in [*found, *_goes_on(tmp_path, _compare(config, runs), runs, None)]
        ]
    figure(
        "full disk (a small tmpfs)",
        f"{levels + with_workers} fill levels from 0 to {needed_kib} KiB free, {with_workers} with -j 2: {errors} times"
        f" one clear error, {finished} times room enough; {len(problems)} with something lost, unclear or left",
    )
    assert problems == []
    assert errors >= 0.8 * levels


def test_a_file_that_may_not_grow_is_one_clear_error(tmp_path: Path, count: Count, figure: Figure) -> None:
    config, runs = write_config(tmp_path, epochs=6), tmp_path / "runs"
    expected = numbers_of(undisturbed(config, tmp_path / "undisturbed"))
    arguments = ["run", str(config), "--runs-dir", str(runs)]
    assert finish([*arguments, *EARLIER], tmp_path).code == 0
    limits = [16_384, 65_536, 131_072, 262_144, 300_000][:: count(5, 1)]
    problems = list[str]()
    for limit in limits:
        with start(arguments, tmp_path, before=FilesLimited(limit)) as command:
            ended = command.wait()
        found = _unclear(ended) + ([] if ended.code == 1 else ["no error"]) + _earlier_unreadable(tmp_path, runs)
        problems += [f"{limit} B: {problem}" for problem in [*found, *_goes_on(tmp_path, arguments, runs, expected)]]
    figure(
        "files of limited size (RLIMIT_FSIZE)", f"{len(limits)} limits: {len(problems)} with something lost or unclear"
    )
    assert problems == []


def test_a_read_only_folder_is_one_clear_error(disk: Disk, tmp_path: Path, full: bool, figure: Figure) -> None:
    config, runs = write_config(tmp_path, epochs=3), disk.folder / "runs"
    expected = numbers_of(undisturbed(config, tmp_path / "undisturbed"))
    arguments = ["run", str(config), "--runs-dir", str(runs)]
    assert finish([*arguments, *EARLIER], tmp_path).code == 0
    commands = [arguments, *([[*arguments, "--fresh"], _compare(config, runs)] if full else [])]
    disk.remount("ro")
    ends = [finish(command, tmp_path) for command in commands]
    shown = finish([*arguments, *EARLIER], tmp_path)  # the earlier run is there: nothing is to be written
    unreadable = _earlier_unreadable(tmp_path, runs)
    disk.remount("rw")
    unclear = [problem for ended in ends for problem in _unclear(ended)]
    figure(
        "read-only folder",
        f"{len(ends)} commands: exit codes {[ended.code for ended in ends]}, {len(unclear)} unclear; the earlier run"
        f" is {'not ' if unreadable else ''}readable, and shown with exit code {shown.code}",
    )
    assert [ended.code for ended in ends] == [1] * len(ends)
    assert unclear == unreadable == []
    assert shown.code == 0, shown.err
    assert _goes_on(tmp_path, arguments, runs, expected) == []


def test_a_folder_that_is_removed_while_running_is_one_clear_error(
    tmp_path: Path, count: Count, figure: Figure
) -> None:
    times, dice = count(1, 15), dice_of(6)
    config, runs = write_config(tmp_path, epochs=150), tmp_path / "runs"
    expected = numbers_of(undisturbed(config, tmp_path / "undisturbed"))
    arguments = ["run", str(config), "--runs-dir", str(runs)]
    problems, seconds = list[str](), list[float]()
    for _ in range(times):
        with start(arguments, tmp_path) as command:
            _wait_for_an_epoch(command)
            time.sleep(dice.uniform(0, 0.25))
            _remove(runs)
            removed = time.monotonic()
            ended = command.wait()
            seconds.append(time.monotonic() - removed)
        found = _unclear(ended) + ([] if ended.code == 1 else [f"exit code {ended.code}"])
        problems += [*found, *_goes_on(tmp_path, arguments, runs, expected)]
    figure(
        "runs folder removed while running",
        f"{times} times: {len(problems)} without one clear error and exit code 1, or without the right bits afterwards;"
        f" noticed within {max(seconds):.1f} s",
    )
    assert problems == []


def _compare(config: Path, runs: Path) -> list[str]:
    return [
        "compare",
        "--config",
        str(config),
        "--schemes",
        "he,lecun_normal",
        "--seeds",
        "2",
        "-j",
        "2",
        "--runs-dir",
        str(runs),
    ]


def _needed_kib(disk: Disk, folder: Path, arguments: Sequence[str]) -> int:
    """Return how much room the run needs while it is trained, in steps of 5 %; it is removed again."""
    kib = 64
    while True:
        disk.leave_free(kib)
        ended = finish(arguments, folder)
        disk.free()
        _forget(Path(arguments[-1]))
        if ended.code == 0:
            return kib
        kib += max(16, kib // 20)


def _unclear(ended: Ended) -> list[str]:
    """Return what is wrong with how a command ended that may have met its disk's end."""
    if ended.code == 0:
        return []
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    clear = len(errors) == 1 and ended.err.endswith(f"{errors[0]}\n") and errors[0].startswith("error: runs folder ")
    fine = clear and ended.code == 1 and "Traceback" not in ended.err
    return [] if fine else [f"exit code {ended.code}, {len(errors)} errors: {ended.err[-400:]}"]


def _earlier_unreadable(folder: Path, runs: Path) -> list[str]:
    """Return what `runs list` says, if the run that was there before is not in it."""
    listed = finish(["runs", "list", "--runs-dir", str(runs), "--format", "json"], folder)
    if listed.code == 0 and not listed.err and 1000 in [run["seed"] for run in json.loads(listed.out)]:
        return []
    return [f"runs list: exit code {listed.code}: {listed.err[-300:]}"]


def _goes_on(folder: Path, arguments: Sequence[str], runs: Path, expected: object) -> list[str]:
    """Return what is wrong with what the same command makes of it now; leave the earlier run only."""
    ended = finish(arguments, folder)
    found = [numbers_of(run) for run in runs_in(runs) if result_in(run)["seed"] != 1000]
    problems = [f"left: {file}" for file in left_after_next_start(runs)]
    if ended.code != 0:
        problems.append(f"the same command ends with {ended.code}: {ended.err[-300:]}")
    elif expected is not None and found != [expected]:
        problems.append("the same command comes to other numbers")
    _forget(runs)
    return problems


def _forget(runs: Path) -> None:
    """Remove all but the earlier run."""
    for run in runs.iterdir():
        if run.is_dir() and "seed1000" not in run.name:
            shutil.rmtree(run)


def _wait_for_an_epoch(command: Command) -> None:
    deadline = time.monotonic() + 30
    while "\nepoch" not in command.err and time.monotonic() < deadline:
        assert command.code is None, command.err
        time.sleep(0.002)


def _remove(runs: Path) -> None:
    """Remove the folder, whatever is written to it meanwhile."""
    for _ in range(100):
        try:
            shutil.rmtree(runs)
        except OSError:
            continue
        return
