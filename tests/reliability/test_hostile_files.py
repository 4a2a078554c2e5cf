"""Run folders that others made, corrupted in every way: reported and skipped; the others are read as they are."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from reliability.invoking import Invoke, hidden

from initbench.checksums import CHECKSUMS, checksums
from initbench.errors import StoreError
from initbench.results import RunResult
from initbench.store import Broken, Store
from initbench.store.weights import read_weights

Count = Callable[[int, int], int]
Figure = Callable[[str, str], None]

SLOWEST_S = 5.0  # of one command over one folder, on a busy machine


VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1e308, 0.5, "", "x", "\x1b[2J", "9" * 5_000, [], [[]], {}, {"a": []}),
)
RAW = (b"NaN", b"-Infinity", b"1e999", b"[" * 5_000, b'"\\ud800"', b"9" * 5_000, b'{"a":1,"a":2}', b"\xff", b"")


def corrupted(folder: Path, chance: random.Random) -> None:
    """Spoil one file of a run's folder, or the folder, in one of the ways that there are."""
    name = chance.choice(("result.json", "result.json", "metrics.jsonl", "weights.safetensors", "config.yaml"))
    chance.choice((_cut, _flipped, _noise, _replaced, _replaced, _raw, _raw, _other_kind, _no_folder))(
        folder / name, chance
    )


def _cut(file: Path, chance: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def _flipped(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 10))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def _noise(file: Path, chance: random.Random) -> None:
    file.write_bytes(chance.randbytes(chance.choice((0, 1, 8, 1_000))))


def _leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _leaves(value, (*path, key))


def _replaced(file: Path, chance: random.Random) -> None:
    """Put another value, of any type, in the place of one of a result, or add or take away a key."""
    file = file.with_name("result.json")
    document = json.loads(file.read_text())
    *path, last = chance.choice([path for path in _leaves(document) if path])
    parent = document
    for key in path:
        parent = parent[key]
    if chance.random() < 0.2:
        del parent[last]
    elif chance.random() < 0.2 and isinstance(parent, dict):
        parent[chance.choice(("new", "\x1b]0;x\a", ""))] = chance.choice(VALUES)
    else:
        parent[last] = chance.choice(VALUES)
    file.write_text(json.dumps(document))


def _raw(file: Path, chance: random.Random) -> None:
    """Put bytes that are no JSON in the place of a value of a result or of a row of metrics."""
    file = file.with_name(chance.choice(("result.json", "metrics.jsonl")))
    content = file.read_bytes()
    values = list(re.finditer(rb"(?<=: )[^,{}\[\]\n]+", content))
    one = chance.choice(values)
    file.write_bytes(content[: one.start()] + chance.choice(RAW) + content[one.end() :])


def _other_kind(file: Path, chance: random.Random) -> None:
    """Put a folder, a pipe, a link, a device or a giant in the place of a file."""
    kind = chance.choice(("folder", "pipe", "link", "dangling", "device", "giant", "missing"))
    if kind == "giant":
        os.truncate(file, 1 << 40)
        return
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind != "missing":
        file.symlink_to({"link": "/etc/hostname", "dangling": "nowhere", "device": "/dev/zero"}[kind])


def _no_folder(file: Path, chance: random.Random) -> None:
    """Put a link out of the runs folder, a file or a folder of another run in the place of a run's folder."""
    folder = file.parent
    kind = chance.choice(("link", "file", "other id"))
    elsewhere = folder.parent.parent / f"elsewhere-{folder.parent.name}-{folder.name}"
    if kind == "other id":
        folder.rename(folder.with_name(f"{folder.name[:-16]}{chance.getrandbits(64):016x}"))
        return
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere) if kind == "link" else folder.touch()


def as_another(whole: Path, root: Path, number: int) -> Path:
    """Copy a run's folder into `root` as another run."""
    run_id = f"{number:016x}"
    folder = root / f"{whole.name[:-16]}{run_id}"
    shutil.copytree(whole, folder)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "run_id": run_id}))
    (folder / CHECKSUMS).write_bytes(checksums({path.name: path.read_bytes() for path in folder.iterdir()}))
    return folder


BATCH = 25  # folders in one runs folder, beside a whole one


@dataclass
class Tally:
    """What came of spoilt folders."""

    spoilt: int = 0
    broken: int = 0
    commands: int = 0


@pytest.mark.skipif("sys.platform == 'win32'")
def test_corrupted_run_folders_are_reported_and_skipped(
    invoke: Invoke, whole: Path, count: Count, figure: Figure, tmp_path: Path
) -> None:
    chance = random.Random(6)  # noqa: S311 # which corruptions, the same each time
    tally = Tally()
    for batch in range(count(1, 80)):
        root = tmp_path / f"theirs{batch}"
        for number in range(1, BATCH + 1):
            corrupted(as_another(whole, root, number), chance)
        check_folder(invoke, root, as_another(whole, root, 0), tally)
    assert tally.broken > tally.spoilt // 3
    figure(
        "corrupted run folders",
        f"{tally.spoilt:,} spoilt, {tally.commands:,} commands (list, merge, show, remove): {tally.broken:,} skipped"
        " with a reason, the others read as they are, 0 crashes, every whole run kept",
    )


def check_folder(invoke: Invoke, root: Path, good: Path, tally: Tally) -> None:
    """Read, list, merge, show and remove spoilt folders that lie beside a good one."""
    found = list(Store(root).runs())
    broken = [run for run in found if isinstance(run, Broken)]
    for run in broken:
        assert 5 < len(run.reason) <= 200
        assert run.reason.isprintable()
        assert not re.search(r"Input should|Field required|Value error|Extra inputs|Traceback|pydantic", run.reason)
    listed = invoke("runs", "list", "--runs-dir", str(root), "--format", "json")
    runs = json.loads(listed.out, parse_constant=pytest.fail)
    assert (listed.code, len(runs), listed.err.count("skipped")) == (0, len(found) - len(broken), len(broken))
    assert good.name[-16:] in {run["run_id"] for run in runs}
    assert invoke("runs", "list", "--runs-dir", str(root)).code == 0
    merged = invoke("runs", "merge", str(root), "--runs-dir", f"{root.name}-merged", "--format", "json")
    assert merged.code == 1
    assert len(json.loads(merged.out, parse_constant=pytest.fail)["broken"]) >= len(broken)
    assert Store(Path(f"{root.name}-merged")).find(good.name[-16:]) is not None
    spoilt = sorted(path for path in root.iterdir() if path != good and not path.name.startswith("."))
    for path in spoilt:
        check_one(invoke, path)
    assert [run for run in Store(root).runs() if isinstance(run, RunResult)] == [Store(root).find(good.name[-16:])]
    assert Path("/etc/hostname").exists()  # links were not followed
    tally.spoilt += len(spoilt)
    tally.broken += len(broken)
    tally.commands += 3 + 3 * len(spoilt)


def check_one(invoke: Invoke, path: Path) -> None:
    weights_or_error(path)
    for arguments in (["show", path.name], ["show", path.name, "--format", "json"], ["remove", path.name]):
        began = time.perf_counter()
        ended = invoke("runs", *arguments, "--runs-dir", str(path.parent))
        assert ended.code in (0, 1, 2)
        assert time.perf_counter() - began < SLOWEST_S
        assert hidden(ended.out + ended.err) == []
        assert "Traceback" not in ended.err


def weights_or_error(folder: Path) -> None:
    with suppress(StoreError):
        read_weights(folder)


@pytest.mark.skipif("sys.platform == 'win32'")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "result.json").write_text("{"),
        lambda folder: _other_kind(folder / "result.json", random.Random(5)),  # noqa: S311
    ],
    ids=["cut", "another kind"],
)
def test_a_run_whose_folder_is_broken_is_trained_again(
    invoke: Invoke, whole: Path, config: str, spoil: Callable[[Path], object]
) -> None:
    before = json.loads((whole / "result.json").read_text())
    spoil(whole)
    for arguments in (["run", config], ["compare", "--config", config, "--schemes", "xavier,he", "--seeds", "1"]):
        ended = invoke(*arguments, "--quiet", "--format", "json")
        assert ended.code == 0
        json.loads(ended.out, parse_constant=pytest.fail)
    after = json.loads((whole / "result.json").read_text())
    assert (after["run_id"], after["test_accuracy"]) == (before["run_id"], before["test_accuracy"])


def test_a_run_of_a_newer_initbench_is_not_replaced(invoke: Invoke, whole: Path, config: str) -> None:
    (whole / "result.json").write_text('{"schema_version": 2}')
    ended = invoke("run", config, "--quiet")
    assert ended.code == 1
    assert "is in the way" in ended.err
    assert "update initbench" in ended.err
    assert (whole / "result.json").read_text() == '{"schema_version": 2}'


def test_a_damaged_run_is_not_compared_but_trained_again(invoke: Invoke, whole: Path, config: str) -> None:
    """Its accuracy was changed, in all places, and its checksums were not."""
    content = json.loads((whole / "result.json").read_text())
    before = content["test_accuracy"]
    content["test_accuracy"] = content["history"][-1]["test_accuracy"] = 0.99
    (whole / "result.json").write_text(json.dumps(content))
    ended = invoke("run", config, "--quiet", "--format", "json")
    assert (ended.code, json.loads(ended.out)["test_accuracy"]) == (0, before)
    assert "is damaged (result.json has changed" in ended.err
    assert invoke("run", config, "--quiet").err == ""


def test_a_renamed_folder_is_named(invoke: Invoke, whole: Path) -> None:
    whole.rename(whole.with_name("my favourite [bold] run"))
    assert "skipped my favourite [bold] run: its name is not one of a run" in invoke("runs", "list").err.replace(
        "\n", " "
    )
    assert invoke("runs", "verify").code == 1
