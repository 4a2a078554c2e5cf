"""A worker that dies, or memory that is short, costs one run at most: it is tried once more, the others go on."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import needs_proc
from processes import Command, dice_of, is_alive, start
from trainings import numbers_of, result_in, runs_in, write_config

if TYPE_CHECKING:
    from reliability.conftest import Figure

pytestmark = needs_proc
NOT_SHORT = "each worker that is started takes seconds; in the full version"
PLUGIN = Path(__file__).with_name("eventful.py")


def test_workers_that_are_killed_cost_no_other_run(tmp_path: Path, full: bool, figure: Figure) -> None:
    if not full:
        pytest.skip(f"{NOT_SHORT}; tests/execute kills workers of tasks that cost nothing")
    seeds, kills, dice = 150, 20, dice_of(1)
    config = write_config(tmp_path, epochs=25)
    with _compare(tmp_path, config, seeds, jobs=2) as command:
        killed = _kill_workers(command, tmp_path / "begun", kills, dice)
        ended = command.wait(600)
        assert command.left_behind() == []
    begun = _begun(tmp_path)
    results = [result_in(run) for run in runs_in(tmp_path / "runs")]
    with _compare(tmp_path, config, seeds, jobs=1) as command:
        again = command.wait()
    failed = [(result["scheme"], result["seed"]) for result in results if result["status"] == "failed"]
    twice = [run for run, times in Counter((run["scheme"], run["seed"]) for run in results).items() if times > 1]
    figure(
        "workers killed in a comparison",
        f"{2 * seeds} runs, -j 2, {len(killed)} kills of workers: {len(results)} results, {len(twice)} twice;"
        f" {len(failed)} failed, as both tries were killed, and were trained by the same command",
    )
    assert len(killed) == kills
    assert (len(results), twice) == (2 * seeds, [])
    for run in failed:  # only where its second try was killed, too
        assert len(begun[run]) == 2
        assert set(begun[run]) <= set(killed)
    assert ended.code == (1 if failed else 0), ended.err
    assert all(len(pids) <= 2 for pids in begun.values())
    assert sum(len(pids) for pids in begun.values()) <= 2 * seeds + kills
    assert json.loads(ended.out)["reused"] == 0
    assert (again.code, json.loads(again.out)["reused"]) == (0, 2 * seeds - len(failed))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("deed", ["no memory", "no memory of torch", "die"])
def test_a_run_that_ends_its_worker_each_time_fails_alone(
    tmp_path: Path, full: bool, figure: Figure, deed: str, jobs: int
) -> None:
    if deed == "die" and jobs == 1:
        pytest.skip("there is no worker to die")
    if jobs == 2 and not full:
        pytest.skip(NOT_SHORT)
    seeds, deeds = 5, {2: deed, 4: f"{deed}, once"}
    config = write_config(tmp_path, epochs=2)
    with _compare(tmp_path, config, seeds, jobs, deeds) as command:
        ended = command.wait(120)
        assert command.left_behind() == []
    results = {(run["scheme"], run["seed"]): run for run in map(result_in, runs_in(tmp_path / "runs"))}
    failed = [run for run, result in results.items() if result["status"] != "done"]
    tries = {run: len(pids) for run, pids in _begun(tmp_path).items()}
    figure(
        f"a run that {'kills its worker' if deed == 'die' else 'finds ' + deed} (always, once), -j {jobs}",
        f"{2 * seeds} runs: {len(results)} results, {len(failed)} failed, tried"
        f" {tries['eventful', 2]} and {tries['eventful', 4]} times, exit code {ended.code}",
    )
    assert failed == [("eventful", 2)]
    assert len(results) == 2 * seeds
    assert {run for run, times in tries.items() if times != 1} == {("eventful", 2), ("eventful", 4)}
    assert tries["eventful", 2] == tries["eventful", 4] == 2
    assert ended.code == 1
    assert "Traceback" not in ended.err
    if full or deed == "no memory":
        _same_command_heals(tmp_path, config, seeds, results)


def _same_command_heals(
    folder: Path, config: Path, seeds: int, before: dict[tuple[str, int], dict[str, object]]
) -> None:
    """Check that the same command, once nothing goes wrong, trains the failed run and no other."""
    with _compare(folder, config, seeds, jobs=1) as command:
        ended = command.wait()
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["reused"] == len(before) - 1
    with _compare(folder, config, seeds, jobs=1, runs="undisturbed") as command:
        assert command.wait().code == 0
    healed, undisturbed = (
        {(run.name): numbers_of(run) for run in runs_in(folder / runs)} for runs in ("runs", "undisturbed")
    )
    assert healed == undisturbed


def _compare(
    folder: Path, config: Path, seeds: int, jobs: int, deeds: dict[int, str] | None = None, runs: str = "runs"
) -> Command:
    arguments = ["compare", "--plugin", str(PLUGIN), "--schemes", "eventful,calm", "--config", str(config)]
    arguments += ["--seeds", str(seeds), "-j", str(jobs), "--format", "json", "--runs-dir", runs]
    return start(arguments, folder, {"BEGUN": str(folder / "begun"), "DEEDS": json.dumps(deeds or {})})


def _kill_workers(command: Command, begun: Path, kills: int, dice: random.Random) -> list[int]:
    """Kill so many workers that train, at random moments; return which."""
    killed: list[int] = []
    while len(killed) < kills and command.code is None:
        ready = _pids(begun) - set(killed)
        alive = sorted(pid for pid in ready if is_alive(pid) and pid != command.pid)
        if alive and len(alive) == len(command.descendants()):  # no other one is starting
            time.sleep(dice.uniform(0, 0.3))
            killed += [_killed(dice.choice(alive))]
        time.sleep(0.01)
    return killed


def _killed(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return pid


def _pids(begun: Path) -> set[int]:
    return {int(line.split()[2]) for line in begun.read_text().splitlines()} if begun.exists() else set()


def _begun(folder: Path) -> dict[tuple[str, int], list[int]]:
    """Return by which processes each run was begun, by scheme and seed."""
    by_run: dict[tuple[str, int], list[int]] = {}
    for line in (folder / "begun").read_text().splitlines():
        scheme, seed, pid = line.split()
        by_run.setdefault((scheme, int(seed)), []).append(int(pid))
    return by_run
