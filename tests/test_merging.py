"""Merging runs folders: whole runs, the present one first, and nothing that a stranger's folder could do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report.builders import run_result

from initbench.cli.app import main
from initbench.errors import UsageError
from initbench.merging import Merged, merge
from initbench.results import RunResult
from initbench.store import Store, folder_name

FILES = {"metrics.jsonl": b"{}\n", "config.yaml": b"seed: 0\n", "weights.safetensors": bytes(range(256)) * 50}


def run_of(number: int, **changes: Any) -> RunResult:
    return run_result("he", number, **{"run_id": f"{number:016x}", **changes})


def stored(root: Path, *runs: RunResult) -> Store:
    store = Store(root)
    for run in runs:
        store.keep(folder_name(run.scheme, run.seed, run.run_id), run, FILES)
    return store


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_runs_of_several_folders_come_together_whole(tmp_path: Path) -> None:
    shards = [tmp_path / "a", tmp_path / "b"]
    stored(shards[0], run_of(0), run_of(1))
    stored(shards[1], run_of(1), run_of(2))
    before = [contents(shard) for shard in shards]
    store = stored(tmp_path / "runs", run_of(0))
    merged = merge(shards, store)
    assert ([run.seed for run in merged.runs], merged.present) == ([1, 2], 2)
    assert (merged.differing, merged.broken) == ((), ())
    assert [run.seed for run in store.runs() if isinstance(run, RunResult)] == [0, 1, 2]
    for run in merged.runs:
        folder = Path(run.run_dir or "")
        assert folder.parent == tmp_path / "runs"
        assert json.loads((folder / "result.json").read_text())["run_dir"] == str(folder)
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert [contents(shard) for shard in shards] == before
    assert merge(shards, store) == Merged((), 4, (), ())


def test_a_target_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    stored(tmp_path / "a", run_of(0))
    store = Store(tmp_path / "new" / "runs")
    assert len(merge([tmp_path / "a"], store).runs) == 1
    assert store.find(f"{0:016x}") is not None


@pytest.mark.parametrize(
    ("theirs", "differs"),
    [
        (run_of(0), False),
        (run_of(0, train_s=99.0, init_s=5.0), False),
        (run_of(0, accuracy=0.979), True),
        (run_of(0, history=[0.91, 0.978]), True),
        (run_of(0, accuracy=None, status="diverged"), True),
    ],
    ids=["same", "slower", "accuracy", "history", "diverged"],
)
def test_where_numbers_differ_the_present_run_stays_and_both_are_named(
    tmp_path: Path, theirs: RunResult, differs: bool
) -> None:
    store = stored(tmp_path / "runs", run_of(0))
    before = contents(tmp_path / "runs")
    stored(tmp_path / "a", theirs)
    merged = merge([tmp_path / "a"], store)
    assert (merged.runs, merged.present) == ((), 1)
    assert contents(tmp_path / "runs") == before
    name = folder_name("he", 0, f"{0:016x}")
    pairs = [(one.kept, one.other) for one in merged.differing]
    assert pairs == ([(tmp_path / "runs" / name, tmp_path / "a" / name)] if differs else [])


def test_a_run_that_failed_here_gives_way_to_one_that_did_not(tmp_path: Path) -> None:
    failed = run_of(0, accuracy=None, status="failed")
    store = stored(tmp_path / "runs", failed)
    stored(tmp_path / "failed", failed)
    stored(tmp_path / "done", run_of(0))
    assert merge([tmp_path / "failed"], store).present == 1
    assert len(merge([tmp_path / "done"], store).runs) == 1
    assert store.find(f"{0:016x}") is not None
    assert merge([tmp_path / "failed"], store).runs == ()
    assert len(merge([tmp_path / "failed"], Store(tmp_path / "other")).runs) == 1  # nothing is dropped


def _cut(folder: Path) -> None:
    (folder / "result.json").write_text('{"run_id": ')


def _missing(folder: Path) -> None:
    (folder / "result.json").unlink()


def _other_id(folder: Path) -> None:
    folder.rename(folder.with_name("he-seed0-" + "f" * 16))


def _odd_name(folder: Path) -> None:
    folder.rename(folder.with_name(f"he\n\x1b[31m-{0:016x}"))


def _link_inside(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to("/etc/hostname")


def _linked_result(folder: Path) -> None:
    (folder / "result.json").rename(folder.parent / "elsewhere.json")
    (folder / "result.json").symlink_to(folder.parent / "elsewhere.json")


def _linked_folder(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def _folder_inside(folder: Path) -> None:
    (folder / "more").mkdir()


def _pipe_inside(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _file_instead(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.touch()


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (_cut, "result.json: "),
    "missing": (_missing, "result.json: No such file"),
    "other id": (_other_id, "its name is not one of run"),
    "odd name": (_odd_name, "its name is not one of run"),
    "link inside": (_link_inside, "weights.safetensors: "),
    "linked result": (_linked_result, "result.json: "),
    "linked folder": (_linked_folder, "a symbolic link, which is not followed"),
    "folder inside": (_folder_inside, "more: no regular file"),
    "pipe inside": (_pipe_inside, "pipe: no regular file"),
    "file instead": (_file_instead, "result.json: Not a directory"),
}


@pytest.mark.skipif("sys.platform == 'win32'")
@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
def test_a_broken_folder_is_reported_and_skipped(tmp_path: Path, spoil: Callable[[Path], None], reason: str) -> None:
    stored(tmp_path / "a", run_of(0), run_of(1))
    spoil(tmp_path / "a" / folder_name("he", 0, f"{0:016x}"))
    store = Store(tmp_path / "runs")
    merged = merge([tmp_path / "a"], store)
    assert [run.seed for run in merged.runs] == [1]
    [broken] = merged.broken
    assert broken.path.parent == tmp_path / "a"
    assert broken.reason.startswith(reason)
    kept = [path.name for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")]
    assert kept == [folder_name("he", 1, f"{1:016x}")]


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    stored(tmp_path / "a", run_of(0))
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "plots").mkdir()
    (tmp_path / "a" / f".he-seed1-{1:016x}").mkdir()  # being written
    merged = merge([tmp_path / "a"], Store(tmp_path / "runs"))
    assert ([run.seed for run in merged.runs], merged.present, merged.broken) == ([0], 0, ())


@pytest.mark.parametrize("bad", ["nowhere", "file", "runs", "runs/../runs", "link"])
def test_a_source_that_is_none_is_refused_before_anything_is_copied(tmp_path: Path, bad: str) -> None:
    store = stored(tmp_path / "runs", run_of(0))
    stored(tmp_path / "a", run_of(1))
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="name the"):
        merge([tmp_path / "a", tmp_path / bad], store)
    assert contents(tmp_path) == before


Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["initbench", "runs", "merge", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return invoke


def test_the_command_says_what_it_did(invoke: Invoke, tmp_path: Path) -> None:
    stored(tmp_path / "a", run_of(0), run_of(1))
    stored(tmp_path / "runs", run_of(1, accuracy=0.5))
    code, out, err = invoke("a")
    assert (code, out) == (0, "merged 1 run into runs, 1 was there already\n")
    assert f"a/he-seed1-{1:016x} has other numbers than runs/he-seed1-{1:016x}, which was kept" in err
    assert len(err.splitlines()) == 1
    assert invoke("a", "a")[1] == "merged 0 runs into runs, 4 were there already\n"


def test_the_command_as_json_is_one_document(invoke: Invoke, tmp_path: Path) -> None:
    stored(tmp_path / "a", run_of(0), run_of(1), run_of(2))
    stored(tmp_path / "mine", run_of(1, accuracy=0.5))
    _cut(tmp_path / "a" / folder_name("he", 2, f"{2:016x}"))
    code, out, _ = invoke("a", "--runs-dir", "mine", "--format", "json")
    document = json.loads(out, parse_constant=pytest.fail)
    assert code == 1
    assert [run["run_id"] for run in document["merged"]] == [f"{0:016x}"]
    assert (document["runs_dir"], document["present"]) == ("mine", 1)
    name = f"he-seed1-{1:016x}"
    assert document["differing"] == [{"kept": f"mine/{name}", "other": f"a/{name}"}]
    assert document["broken"][0]["folder"] == f"a/he-seed2-{2:016x}"


def test_a_folder_of_folders_is_noticed(invoke: Invoke, tmp_path: Path) -> None:
    stored(tmp_path / "shards" / "a", run_of(0))
    code, out, err = invoke("shards")
    assert (code, out) == (0, "merged 0 runs into runs, 0 were there already\n")
    assert "no runs in shards: name the folders that hold runs themselves" in err


@pytest.mark.parametrize(("source", "message"), [("nowhere", "'nowhere' is not there"), ("runs", "'runs' is the runs")])
def test_a_wrong_source_is_one_line(invoke: Invoke, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "runs").mkdir()
    code, out, err = invoke(source)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
