"""`initbench runs verify` and `replay`: what they print, what they end with."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_settings import tiny
from reliability.needs import needs_proc
from reliability.processes import finish
from typer.testing import CliRunner

import initbench
from initbench.checksums import CHECKSUMS, checksums
from initbench.cli.app import app, main
from initbench.errors import UsageError


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with the runs of two schemes."""
    root = tmp_path_factory.mktemp("stored") / "runs"
    for scheme in ("xavier", "orthogonal:gain=1.5"):
        initbench.run(tiny(init=scheme), runs_dir=root)
    return root


@pytest.fixture
def runs(stored: Path) -> Path:
    """A copy of it, `runs` in the current folder."""
    return Path(shutil.copytree(stored, "runs"))


def folder_of(runs: Path, scheme: str) -> Path:
    [folder] = [path for path in runs.iterdir() if path.name.startswith(scheme)]
    return folder


def invoke(*arguments: str, width: int = 80) -> tuple[int, str, str]:
    ended = CliRunner().invoke(app, ["runs", *arguments], env={"COLUMNS": str(width)}, catch_exceptions=False)
    return ended.exit_code, ended.stdout, ended.stderr


def test_all_runs_are_verified_in_80_columns(runs: Path) -> None:
    code, out, err = invoke("verify")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    head, _, *rows = out.splitlines()
    assert head.split() == ["run", "scheme", "files", "config", "identity", "data", "weights", "metrics"]
    assert [row.split()[-6:] for row in rows[:2]] == [["ok"] * 6] * 2
    assert rows[-1] == "2 runs verified: no damage found"


def test_damage_is_named_and_ends_with_1(runs: Path) -> None:
    damaged = folder_of(runs, "xavier")
    (damaged / "metrics.jsonl").write_text("")
    code, out, _ = invoke("verify")
    assert code == 1
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.split())
    assert f"{damaged.name}: files: metrics.jsonl has changed" in words
    assert f"{damaged.name}: metrics: metrics.jsonl has other epochs than the history" in words
    assert out.splitlines()[-1] == "2 runs verified: 1 is damaged"
    assert invoke("verify", folder_of(runs, "orthogonal").name)[0] == 0
    assert invoke("verify", damaged.name[-16:][:6])[0] == 1


def test_a_broken_folder_is_named(runs: Path) -> None:
    damaged = folder_of(runs, "xavier")
    (damaged / "result.json").write_text("{")
    code, out, _ = invoke("verify", width=200)
    assert code == 1
    assert f"{damaged.name}: files: result.json has changed" in out
    (damaged / CHECKSUMS).write_bytes(checksums({file.name: file.read_bytes() for file in damaged.iterdir()}))
    assert f"{damaged.name}: files: result.json: no JSON" in invoke("verify", width=200)[1]


def test_what_was_not_checked_is_said_once(runs: Path) -> None:
    for folder in runs.glob("*-seed*"):
        (folder / "identity.json").unlink()
        (folder / CHECKSUMS).unlink()
    code, out, _ = invoke("verify", width=200)
    assert code == 0
    assert out.count("there is no SHA256SUMS: this run was stored by an older initbench (2 runs)") == 1
    assert "identity not checked: there is no identity.json" in out


def test_the_verification_as_json_is_one_document(runs: Path) -> None:
    damaged = folder_of(runs, "xavier")
    (damaged / "weights.safetensors").unlink()
    code, out, _ = invoke("verify", "--format", "json")
    document = json.loads(out, parse_constant=pytest.fail)
    assert (code, document["failed"], document["runs_dir"]) == (1, 1, "runs")
    found = {run["folder"]: run for run in document["runs"]}
    checks = found[str(damaged)]["checks"]
    assert checks["files"] == {"outcome": "failed", "reason": "weights.safetensors is missing"}
    assert checks["config"] == {"outcome": "ok", "reason": None}
    assert found[str(damaged)]["run_id"] == damaged.name[-16:]


def test_a_runs_folder_that_is_not_there_is_no_success() -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        invoke("verify", "--runs-dir", "nope")


def test_no_runs_are_no_failure() -> None:
    Path("runs").mkdir()
    assert invoke("verify") == (0, "no runs in runs\n", "")
    assert json.loads(invoke("verify", "--format", "json")[1])["runs"] == []


def test_the_help_says_what_it_does_not_find() -> None:
    assert "not forgery" in " ".join(invoke("verify", "--help", width=200)[1].split())


def test_a_replay_that_agrees_says_so(runs: Path) -> None:
    code, out, err = invoke("replay", folder_of(runs, "xavier").name[-16:])
    assert (code, out) == (0, "the bits agree: 2 epochs, 4 tensors\n")
    assert "epoch 1/2" in err
    assert "epoch 2/2" in err
    assert invoke("replay", folder_of(runs, "xavier").name, "-q")[1:] == (out, "")


def edit_result(folder: Path, test_accuracy: float) -> None:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    result["history"][0]["test_accuracy"] = test_accuracy
    (folder / "result.json").write_text(json.dumps(result))


def test_a_replay_that_differs_says_where_and_why(runs: Path) -> None:
    folder = folder_of(runs, "xavier")
    edit_result(folder, 0.125)
    code, out, _ = invoke("replay", folder.name, "-q")
    assert code == 1
    assert out.startswith("the bits differ: first in epoch 1, test accuracy: 0.125, now 0.")
    assert "nothing that is recorded. `initbench runs verify` tells" in out
    identity = json.loads((folder / "identity.json").read_text())
    (folder / "identity.json").write_text(json.dumps({**identity, "torch": "2.0.0"}))
    assert "what is different here:\n  torch 2.0.0, now " in invoke("replay", folder.name, "-q")[1]


def test_a_replay_as_json_is_one_document(runs: Path) -> None:
    folder = folder_of(runs, "xavier")
    document = json.loads(invoke("replay", folder.name, "-q", "--format", "json")[1], parse_constant=pytest.fail)
    assert document == {
        "run_id": folder.name[-16:], "folder": str(folder), "agrees": True, "epochs": 2, "tensors": 4,
        "first_difference": None, "weights": None, "different_here": [],
    }  # fmt: skip
    edit_result(folder, 0.125)
    code, out, _ = invoke("replay", folder.name, "-q", "--format", "json")
    assert (code, json.loads(out)["agrees"]) == (1, False)


@pytest.mark.parametrize("command", ["verify", "replay"])
@pytest.mark.parametrize(("which", "message"), [("nosuch", "no run matches 'nosuch'"), ("abcd", "no run matches")])
def test_a_run_that_is_not_there_is_one_line(
    command: str, which: str, message: str, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["initbench", "runs", command, which])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out, len(printed.err.splitlines())) == (2, "", 1)
    assert message in printed.err


def test_a_broken_run_cannot_be_replayed(runs: Path) -> None:
    folder = folder_of(runs, "xavier")
    (folder / "result.json").unlink()
    with pytest.raises(initbench.StoreError, match=r"cannot be read: result\.json"):
        invoke("replay", folder.name)


@needs_proc
@pytest.mark.parametrize(
    ("command", "last"),
    [("verify", "1 run verified: no damage found"), ("replay", "the bits agree: 2 epochs, 4 tensors")],
)
def test_each_in_a_process_of_its_own(command: str, last: str, runs: Path) -> None:
    ended = finish(["runs", command, folder_of(runs, "orthogonal").name], Path.cwd())
    assert ended.code == 0, ended.err
    assert last in ended.out.splitlines()
