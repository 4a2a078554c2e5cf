"""kill -9 inside a write of what a run goes on from, or of its result: what is there loads, and is old or new."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from needs import needs_proc
from processes import Command, dice_of, finish, start
from tampering import KilledAt, WritingForever
from trainings import TRAININGS, left_after_next_start, numbers_of, result_in, runs_in, undisturbed, write_config

from initbench.errors import StoreError
from initbench.results import RunResult, UnfinishedRun, UnfinishedTask
from initbench.store import Broken, Store, Unfinished

if TYPE_CHECKING:
    from reliability.conftest import Count, Figure

pytestmark = needs_proc
LAST = 1_000  # more often than a run of a few epochs touches the disk


def test_kill_9_before_each_touch_of_the_disk(tmp_path: Path, count: Count, figure: Figure) -> None:
    config = write_config(tmp_path, TRAININGS["adam, dropout, cosine"], epochs=3)
    expected = numbers_of(undisturbed(config, tmp_path / "undisturbed"))
    kills, touches, bad = 0, dict[str, int](), list[str]()
    for fresh in (False, True):
        arguments = ["run", str(config), "--runs-dir", str(tmp_path / "runs"), *(["--fresh"] if fresh else [])]
        for touch in _spread(count(1, LAST)):
            if not (kind := _killed_at(tmp_path, arguments, touch)):
                break
            kills += 1
            touches[kind] = touches.get(kind, 0) + 1
            bad += [f"{kind} {touch}: {problem}" for problem in _problems(tmp_path, arguments, fresh, expected)]
    figure(
        "kill -9 inside a write: before each touch of the disk",
        f"{kills} kills ({', '.join(f'{times} {kind}' for kind, times in sorted(touches.items()))}):"
        f" {kills - len(bad)} load the old or the new state, and go on to the same bits",
    )
    assert bad == []
    assert kills >= count(2, 60)


def test_kill_9_at_any_moment_of_writing(tmp_path: Path, count: Count, figure: Figure) -> None:
    runs, kills, dice = tmp_path / "runs", count(2, 60), dice_of(3)
    config = write_config(tmp_path, epochs=1)
    made = undisturbed(config, tmp_path / "made")
    result = (made / "result.json").read_text()
    state, kept, torn = 0, 0, list[str]()
    for _ in range(kills):
        writing = WritingForever(str(runs), made.name, _a_task(result), result, first=state + 1)
        with start([], tmp_path, before=writing) as command:
            while not command.out and command.code is None:
                time.sleep(0.001)
            time.sleep(dice.uniform(0, 0.15))
            command.kill()
            assert command.wait().code == -9, command.err
        states, results = (_told(command, kind) for kind in ("state", "result"))
        assert states
        found_state, found_result = _state_in(runs, made.name), _result_in(runs)
        if found_state not in (states[-1], states[-1] + 1):
            torn.append(f"state {found_state} after {states[-1]}")
        latest = results[-1] if results else kept
        following = next(number for number in itertools.count(max(writing.first, latest + 1)) if number % 3 == 0)
        if found_result not in (latest, following):
            torn.append(f"result {found_result} after {latest}, before {following}")
        state, kept = found_state, found_result
    assert finish(["run", str(config), "--runs-dir", str(runs)], tmp_path).code == 0
    left = left_after_next_start(runs)
    figure(
        "kill -9 inside a write: at random moments of writing",
        f"{kills} kills: {kills - len(torn)} load the old or the new state and result; {len(left)} files left",
    )
    assert torn == []
    assert left == []


def _spread(numbers: int) -> list[int]:
    """Return which touches of the disk to die at: from 1, each, or a few among the first fifty."""
    return list(range(1, numbers + 1)) if numbers == LAST else dice_of(numbers).sample(range(1, 50), numbers)


def _killed_at(folder: Path, arguments: list[str], touch: int) -> str:
    """Begin with no run, or with `--fresh` with a whole one, and die; return at what, "" where it came to its end."""
    runs, report = folder / "runs", folder / "touched"
    if "--fresh" not in arguments:
        shutil.rmtree(runs, ignore_errors=True)
    elif not runs.exists() or len(runs_in(runs)) != 1:
        assert finish(arguments, folder).code == 0
    report.unlink(missing_ok=True)
    with start(arguments, folder, before=KilledAt(touch, str(runs), str(report))) as command:
        ended = command.wait()
    kind = report.read_text() if report.exists() else ""
    assert ended.code == (-9 if kind else 0), ended.err
    return kind


def _problems(
    folder: Path, arguments: list[str], fresh: bool, expected: tuple[str, list[dict[str, object]]]
) -> list[str]:
    """Return what is wrong with what a killed command left, and with what the same command makes of it."""
    runs, problems = folder / "runs", list[str]()
    problems += [f"state: {error}" for error in _unreadable_states(runs)]
    with Store(runs).stay():  # what died between two renames is put in place by the next one that comes
        found = list(Store(runs).runs())
    problems += [f"broken: {run.reason}" for run in found if isinstance(run, Broken)]
    if fresh and [numbers_of(run) for run in runs_in(runs)] != [expected]:
        problems.append(f"{len(runs_in(runs))} runs where one was, or other numbers")
    ended = finish(arguments, folder)
    if ended.code != 0:
        return [*problems, f"exit code {ended.code}: {ended.err[-300:]}"]
    if [numbers_of(run) for run in runs_in(runs)] != [expected]:
        problems.append("other numbers in the end")
    return problems + [f"left: {file}" for file in left_after_next_start(runs)]


def _unreadable_states(runs: Path) -> list[str]:
    unfinished, errors = Unfinished(runs, runs / "none"), list[str]()
    for file in (runs / ".unfinished").glob("*"):
        try:
            found = unfinished.load(file.name.removesuffix(".safetensors"))
        except StoreError as error:
            errors.append(str(error))
        else:
            errors += [] if found and found[0].epoch in (1, 2) else [f"{file.name}: of no epoch that there was"]
    return errors


def _a_task(result: str) -> str:
    """Return the JSON of an unfinished task of this run."""
    run = RunResult.model_validate_json(result)
    facts = {"run_id": run.run_id, "scheme": run.scheme, "seed": run.seed, "parameters": run.parameters}
    one = UnfinishedRun(**facts, identity={}, init_s=0, train_s=0, metrics="")
    return UnfinishedTask(epoch=1, epochs=10**9, steps=1, runs=(one,)).model_dump_json()


def _told(command: Command, kind: str) -> list[int]:
    """Return the generations of which the command has said that they are saved."""
    return [int(generation) for generation in re.findall(rf"^{kind} (\d+)\n", command.out, re.MULTILINE)]


def _state_in(runs: Path, name: str) -> int:
    """Return the generation of the state that is there; all of it must be of one."""
    found = Unfinished(runs, runs / "none").load(name)
    assert found
    task, tensors = found
    assert all(bool((tensor == task.epoch).all()) for tensor in tensors.values())
    return int(task.epoch)


def _result_in(runs: Path) -> int:
    """Return the generation of the result that is there, 0 for none; all of it must be of one."""
    with Store(runs).stay():
        found = runs_in(runs)
    if not found:
        return 0
    [run] = found
    generation = int(result_in(run)["init_s"])
    assert (run / "metrics.jsonl").read_text() == f"{generation}\n" * 5_000
    return generation
