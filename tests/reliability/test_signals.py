"""SIGINT and SIGTERM at any moment: saved, the right exit code within seconds, nothing left running or lying about."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import needs_proc
from processes import Command, Ended, dice_of, finish, start, start_server
from trainings import TRAININGS, left_after_next_start, numbers_of, runs_in, write_config

from initbench.store import Store

if TYPE_CHECKING:
    from reliability.conftest import Count, Figure

pytestmark = needs_proc
WITHIN_S = 5.0
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@dataclass
class Tally:
    """What came of the signals."""

    signals: int = 0
    saved: int = 0  # of those, how often there was something to go on from, or a finished run
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A command that is interrupted, and how."""

    name: str
    arguments: Sequence[str]
    number: signal.Signals
    real: bool = False


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_and_says_how_to_go_on(
    tmp_path: Path, count: Count, figure: Figure, number: signal.Signals
) -> None:
    config = write_config(tmp_path, TRAININGS["sgd, nesterov, clipped"], epochs=count(20, 60))
    run = ["run", str(config)]
    compare = ["compare", "--config", str(config), "--schemes", "he,xavier", "--seeds", "3", "--epochs", "30"]
    plan = [
        (count(1, 36), Case("run", run, number)),
        (count(0, 3), Case("real", run, number, real=True)),
        (count(0, 11), Case("compare", [*compare, "-j", "2"], number)),
    ]
    dice, tally = dice_of(4), Tally()
    for times, case in plan:
        if times:
            _interrupt_often(tmp_path, case, times, dice, tally)
    figure(
        f"{number.name} at random moments of `run` and `compare -j 2`",
        f"{tally.signals} signals: {len(tally.wrong)} with another end than saved, {128 + number}, no process and no"
        f" file left; {tally.saved} in time to go on; slowest end {tally.slowest_s:.1f} s",
    )
    assert tally.wrong == []
    assert tally.slowest_s < WITHIN_S
    assert tally.saved >= tally.signals // 4  # else they came too early to show anything


def _interrupt_often(folder: Path, case: Case, times: int, dice: random.Random, tally: Tally) -> None:
    """Interrupt the command so many times, each time anew and until then undisturbed."""
    expected, took_s = _undisturbed(folder, case)
    wanted, number = tally.signals + times, 0
    while tally.signals < wanted:
        number += 1
        assert number < 10 * times, "it is over before the signal comes"
        runs = folder / f"{case.name}-{case.number.name}-{number}"
        arguments = [*case.arguments, "--runs-dir", str(runs)]
        with start(arguments, folder, real=case.real) as command:
            time.sleep(dice.uniform(0.02, took_s))
            if command.code is not None:
                continue  # too late
            began = time.monotonic()
            command.kill(case.number)
            ended = command.wait()
            took = time.monotonic() - began
            problems = [f"process {pid} is left" for pid in command.left_behind(0.5)]
        if ended.code == 0 and ended.out:
            continue  # it was over when the signal came
        tally.signals += 1
        tally.slowest_s = max(tally.slowest_s, took)
        over = _numbers(runs) == expected
        problems += _wrong_with(ended, case, over)
        tally.saved += bool(runs.exists() and (Store(runs).unfinished() or runs_in(runs)))
        problems += _wrong_after(folder, arguments, runs, expected)
        tally.wrong += [f"{case.name}, after {number}: {problem}" for problem in problems]


def _undisturbed(folder: Path, case: Case) -> tuple[dict[str, object], float]:
    """Return the numbers of the runs that nobody interrupts, and how long the command takes."""
    start_server()
    runs, began = folder / f"{case.name}-undisturbed", time.monotonic()
    ended = finish([*case.arguments, "--runs-dir", str(runs)], folder, real=case.real)
    assert ended.code == 0, ended.err
    return _numbers(runs), time.monotonic() - began


def _numbers(runs: Path) -> dict[str, object]:
    return {run.name: numbers_of(run) for run in runs_in(runs)}


def _wrong_with(ended: Ended, case: Case, over: bool) -> list[str]:
    """Return what is wrong with the end of an interrupted command.

    A shell shows a process that a signal ended (-n) as 128 + n, too: Python while it starts, and when all is `over`.
    """
    codes = {128 + case.number, -case.number} if case.real or over else {128 + case.number}
    problems = [] if ended.code in codes else [f"exit code {ended.code}: {ended.err[-300:]}"]
    if ended.code > 0 and not over and "To go on from there" not in ended.err:
        problems.append(f"it does not say how to go on: {ended.err[-300:]}")
    if ended.code > 0 and "Traceback" in ended.err:
        problems.append(f"traceback: {ended.err[-500:]}")
    return problems


def _wrong_after(folder: Path, arguments: Sequence[str], runs: Path, expected: dict[str, object]) -> list[str]:
    """Return what is wrong with what the same command makes of it."""
    arguments = [
        "1" if after == "-j" else argument for after, argument in zip(["", *arguments], arguments, strict=False)
    ]
    ended = finish(arguments, folder)
    if ended.code != 0:
        return [f"the same command ends with {ended.code}: {ended.err[-300:]}"]
    left = [f"left: {file}" for file in left_after_next_start(runs)]
    return left + ([] if _numbers(runs) == expected else ["the same command comes to other numbers"])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_ctrl_c_is_immediate(
    tmp_path: Path, full: bool, count: Count, figure: Figure, number: signal.Signals
) -> None:
    if number != signal.SIGINT and not full:
        pytest.skip("in the full version")
    slow = {"model": {"hidden": [2_000, 2_000]}, "data": {"batch_size": 1_400}}  # seconds for each step
    config = write_config(tmp_path, slow, epochs=50)
    times, slowest_s, codes = count(1, 10), 0.0, Counter[int]()
    for attempt in range(times):
        with start(["run", str(config), "--runs-dir", f"runs-{attempt}"], tmp_path) as command:
            _wait_for_training(command)
            command.kill(number)
            time.sleep(0.05)
            second = time.monotonic()
            command.kill(signal.SIGINT)
            codes[command.wait().code] += 1
            slowest_s = max(slowest_s, time.monotonic() - second)
            assert command.left_behind(0.5) == []
    figure(
        f"{number.name}, and SIGINT 50 ms later", f"{times} times: exit codes {dict(codes)} within {slowest_s:.2f} s"
    )
    assert set(codes) <= {130, 128 + number}
    assert slowest_s < 1


def _wait_for_training(command: Command) -> None:
    """Wait until the header is printed, and a little more: the first step is under way."""
    deadline = time.monotonic() + 30
    while "folder " not in command.err and time.monotonic() < deadline:
        assert command.code is None, command.err
        time.sleep(0.01)
    time.sleep(0.2)
