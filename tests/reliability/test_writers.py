"""Several processes on one runs folder: nothing is torn, nothing trained twice, and `runs list` works meanwhile."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from needs import needs_proc
from processes import Command, dice_of, finish, start, wait_until
from trainings import left_after_next_start, numbers_of, result_in, rows_in, runs_in, write_config

if TYPE_CHECKING:
    from reliability.conftest import Count, Figure

pytestmark = needs_proc
PLUGIN = Path(__file__).with_name("eventful.py")
EPOCHS = 3


def test_processes_on_one_folder_train_each_run_once(tmp_path: Path, count: Count, figure: Figure) -> None:
    processes, real, seeds = count(3, 7), count(0, 1), count(3, 100)
    with ExitStack() as open_:
        commands = [open_.enter_context(_compare(tmp_path, seeds, real=True)) for _ in range(real)]
        wait_until(lambda: all(_has_begun(command, tmp_path / "begun") for command in commands))
        commands += [open_.enter_context(_compare(tmp_path, seeds)) for _ in range(processes)]
        lists = _list_until_ended(commands, tmp_path, real=bool(real))
        ends = [command.wait(300) for command in commands]
    assert [ended.code for ended in ends] == [0] * len(ends), [ended.err[-300:] for ended in ends]
    documents = [json.loads(ended.out) for ended in ends]
    begun = Counter(_begun(tmp_path))
    trained = [2 * seeds - document["reused"] for document in documents]
    torn = _torn(tmp_path / "runs")
    left = left_after_next_start(tmp_path / "runs")
    tables = {_table(document) for document in documents}
    figure(
        f"concurrent writers: {len(commands)} processes x {2 * seeds} runs, one folder",
        f"{sum(trained)} trained ({'+'.join(map(str, trained))}), {sum(n > 1 for n in begun.values())} twice;"
        f" {torn} torn files, {len(tables)} table in {len(documents)}, {len(left)} files left,"
        f" {len(lists)} `runs list` meanwhile with 0 errors",
    )
    assert set(begun.values()) == {1}
    assert len(begun) == sum(trained) == len(runs_in(tmp_path / "runs")) == 2 * seeds
    assert (torn, left, len(tables)) == (0, [], 1)
    assert lists == sorted(lists)  # runs come, none goes
    assert sum(share > 0 for share in trained) > 1  # they did work at the same time


def test_the_run_of_a_killed_process_is_taken_over(tmp_path: Path, count: Count, figure: Figure) -> None:
    processes, seeds, kills, dice = count(2, 6), count(2, 20), count(1, 5), dice_of(5)
    alone = tmp_path / "alone"
    with _compare(alone, seeds, epochs=15) as command:
        assert command.wait().code == 0
    with ExitStack() as open_:
        commands = [open_.enter_context(_compare(tmp_path, seeds, epochs=15)) for _ in range(processes)]
        killed = [_kill_at_work(command, tmp_path / "begun", dice) for command in commands[:kills]]
        ends = [command.wait(300) for command in commands[kills:]]
    assert [ended.code for ended in ends] == [0] * len(ends), [ended.err[-300:] for ended in ends]
    again = {run: times for run, times in Counter(_begun(tmp_path)).items() if times > 1}
    different = [
        run.name for run in runs_in(tmp_path / "runs") if numbers_of(run) != numbers_of(alone / "runs" / run.name)
    ]
    figure(
        f"{kills} of {processes} processes killed while they train",
        f"{len(runs_in(tmp_path / 'runs'))} of {2 * seeds} runs there, {len(different)} with other bits,"
        f" {len(again)} begun anew, {len(left_after_next_start(tmp_path / 'runs'))} files left",
    )
    assert killed == [-9] * kills
    assert len(runs_in(tmp_path / "runs")) == 2 * seeds
    assert different == []
    assert sum(times - 1 for times in again.values()) <= kills
    assert left_after_next_start(tmp_path / "runs") == []


def _compare(folder: Path, seeds: int, epochs: int = EPOCHS, real: bool = False) -> Command:
    config = write_config(folder, {"data": {"limit": 300}}, epochs=epochs)
    arguments = ["compare", "--plugin", str(PLUGIN), "--schemes", "eventful,calm", "--config", str(config)]
    arguments += ["--seeds", str(seeds), "-j", "1", "--format", "json", "--runs-dir", "runs"]
    return start(arguments, folder, {"BEGUN": str(folder / "begun")}, real=real)


def _list_until_ended(commands: Sequence[Command], folder: Path, real: bool) -> list[int]:
    """Call `runs list` again and again; return how many runs each has found."""
    found = list[int]()
    deadline = time.monotonic() + 300
    while any(command.code is None for command in commands) and time.monotonic() < deadline:
        ended = finish(
            ["runs", "list", "--runs-dir", "runs", "--format", "json"], folder, real=real and len(found) == 5
        )
        assert (ended.code, ended.err) == (0, ""), ended.err
        found.append(len(json.loads(ended.out)))
    return found


def _begun(folder: Path) -> list[tuple[str, str]]:
    """Return scheme and seed of every beginning of a run."""
    lines = [line.split() for line in (folder / "begun").read_text().splitlines()]
    return [(scheme, seed) for scheme, seed, _ in lines]


def _torn(runs: Path) -> int:
    """Return how many runs cannot be read from end to end."""
    torn = 0
    for run in runs_in(runs):
        try:
            complete = [row["epoch"] for row in rows_in(run)] == [*range(1, EPOCHS + 1)] and result_in(run)
        except ValueError:
            complete = False
        torn += not complete
    return torn


def _table(document: dict[str, object]) -> str:
    """Return all that a comparison says but for what it found there already, and times."""
    schemes = document["schemes"]
    assert isinstance(schemes, list)
    without = [{**scheme, "seconds": None, "init_seconds": None} for scheme in schemes]
    return json.dumps({**document, "schemes": without, "reused": None}, sort_keys=True)


def _has_begun(command: Command, begun: Path) -> bool:
    """Return whether the process has begun a run of its own."""
    return begun.exists() and f" {command.pid}\n" in begun.read_text()


def _kill_at_work(command: Command, begun: Path, dice: random.Random) -> int:
    """Kill the process a moment after it has begun a run of its own; return how it ended."""
    wait_until(lambda: command.code is not None or _has_begun(command, begun))
    time.sleep(dice.uniform(0, 0.2))
    command.kill()
    return command.wait().code
