"""kill -9 at any moment of a run, then the same command: nothing is lost, and the bits in the end are the same."""

from __future__ import annotations

import itertools
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from needs import needs_proc
from processes import Command, dice_of, start
from trainings import (
    TRAININGS,
    left_after_next_start,
    numbers_of,
    only_run,
    result_in,
    rows_in,
    runs_in,
    undisturbed,
    write_config,
)

from initbench.store import Store

if TYPE_CHECKING:
    from reliability.conftest import Count, Figure

pytestmark = needs_proc
START_S = 0.2  # of a command, until it trains


@dataclass
class Tally:
    """What came of the kills."""

    kills: int = 0
    runs: int = 0
    resumed: int = 0  # beginnings that went on from a saved epoch
    lost: int = 0  # epochs that were saved and trained once more
    doubled: int = 0  # rows that are there twice
    different: int = 0  # runs whose bits are not those of an uninterrupted one
    left: list[str] = field(default_factory=list)  # temporary files after the end


def test_kill_9_at_any_moment_loses_no_saved_epoch(tmp_path: Path, full: bool, count: Count, figure: Figure) -> None:
    kills, real_kills, dice, tally = count(2, 200), count(0, 5), dice_of(2), Tally()
    names = itertools.cycle(TRAININGS)
    while tally.kills < kills:
        _interrupted_run(tmp_path, next(names), dice, tally, epochs=count(20, 40), late=not full)
    while tally.kills < kills + real_kills:
        _interrupted_run(tmp_path, next(names), dice, tally, epochs=60, late=True, real=True)
    figure(
        "kill -9 at random moments of a run, then the same command",
        f"{tally.kills} kills in {tally.runs} runs, {tally.resumed} times gone on: {tally.lost} saved epochs lost,"
        f" {tally.doubled} duplicate rows, {tally.different} runs with other bits, {len(tally.left)} files left",
    )
    assert tally.resumed >= max(1, kills // 4)  # else the kills came too early, or too late, to show anything
    assert (tally.lost, tally.doubled, tally.different, tally.left) == (0, 0, 0, [])


def _interrupted_run(
    folder: Path, name: str, dice: random.Random, tally: Tally, epochs: int, late: bool, real: bool = False
) -> None:
    """Kill a run at random moments (late: after an epoch) until it ends first; compare it with an uninterrupted one."""
    slug = re.sub("[^a-z0-9]+", "-", f"{name} {epochs}")
    config = write_config(folder / slug, TRAININGS[name], epochs=epochs)
    uninterrupted, took_s = _uninterrupted(config)
    runs, tally.runs = config.parent / f"runs-{tally.runs}", tally.runs + 1
    arguments = ["run", str(config), "--runs-dir", str(runs)]
    saved = 0
    while True:
        with start(arguments, config.parent, real=real) as command:
            _wait_a_while(command, dice, took_s, late)
            command.kill()
            ended = command.wait()
            assert command.left_behind() == []
        goes_on_after, trained = _told(ended.err)
        if goes_on_after:
            tally.resumed += 1
            tally.lost += abs(saved - goes_on_after)
        tally.lost += sum(epoch <= saved for epoch in trained)
        if ended.code == 0:
            break
        assert ended.code == -9, ended.err
        tally.kills += 1
        if runs_in(runs):  # it was killed after its end
            continue
        saved, before = _saved_epoch(runs), saved
        tally.lost += max(0, before - saved)
    _compare(only_run(runs), uninterrupted, tally)
    tally.left += left_after_next_start(runs)


def _uninterrupted(config: Path) -> tuple[Path, float]:
    """Return the run that nobody interrupts, trained once, and about how long the command takes."""
    runs = config.parent / "uninterrupted"
    run = only_run(runs) if runs.exists() else undisturbed(config, runs)
    return run, START_S + result_in(run)["init_s"] + result_in(run)["train_s"]


def _wait_a_while(command: Command, dice: random.Random, took_s: float, late: bool) -> None:
    """Wait until a random moment of a command that takes about `took_s`, or until it ends."""
    if late:
        while command.code is None and not _told(command.err)[1]:
            time.sleep(0.01)
        took_s /= 2
    until = time.monotonic() + dice.uniform(0, took_s)
    while command.code is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.02))


def _told(printed: str) -> tuple[int, list[int]]:
    """Return after which epoch a `run` says that it goes on, 0 for none, and which epochs it has trained then."""
    if "not trained again" in printed:
        return 0, []
    _, where, after = printed.rpartition("goes on after epoch ")
    epochs = re.findall(r"^epoch +(\d+)/", after if where else printed, re.MULTILINE)
    return int(after.partition(",")[0] or 0) if where else 0, [int(epoch) for epoch in epochs]


def _saved_epoch(runs: Path) -> int:
    """Return the epoch after which the one run of a folder can go on, 0 for its beginning."""
    tasks = list(Store(runs).unfinished().values())
    assert len(tasks) <= 1
    return tasks[0].epoch if tasks else 0


def _compare(run: Path, uninterrupted: Path, tally: Tally) -> None:
    rows = rows_in(run)
    tally.doubled += sum(row in rows[:place] for place, row in enumerate(rows))
    tally.different += numbers_of(run) != numbers_of(uninterrupted)
