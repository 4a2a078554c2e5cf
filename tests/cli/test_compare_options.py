"""`initbench compare`: its dry run, its shards, where it trains. A fake bench hears what would be done, at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench_settings import tiny
from report.builders import DIGITS, MNIST, run_result
from report.builders import comparison as comparison_of

from initbench import bench, cores
from initbench.cli.app import main
from initbench.config import load_config
from initbench.events import Planned

Invoke = Callable[..., tuple[int, str, str]]
RUNS = [run_result("he", 0), run_result("xavier", 0), run_result("he", 1, None, status="diverged")]


def plan(**changes: Any) -> Planned:
    facts: dict[str, Any] = {
        "config": load_config(None, []).to_dict(), "device": "cpu", "dataset": MNIST, "parameters": 269_322,
        "runs": 30, "seeds": tuple(range(10)), "epochs": 15, "reused": 5, "run_dir": None, "expected_s": 170.0,
        "workers": 2, "executor": "processes",
    }  # fmt: skip
    return Planned(**(facts | changes))


@dataclass
class FakeBench:
    """Takes what compare, train_shard and expect are asked for, and answers with what a test gave it."""

    planned: Planned = field(default_factory=plan)
    runs: list[Any] = field(default_factory=lambda: list(RUNS))
    calls: list[tuple[str, list[str], dict[str, Any]]] = field(default_factory=list)

    def compare(self, schemes: list[str], **how: Any) -> Any:
        self.calls.append(("compare", schemes, how))
        return comparison_of()

    def train_shard(self, schemes: list[str], **how: Any) -> Any:
        self.calls.append(("train_shard", schemes, how))
        return self.runs

    def expect(self, schemes: list[str], **how: Any) -> Planned:
        self.calls.append(("expect", schemes, how))
        how["emit"](self.planned)
        return self.planned


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBench:
    fake = FakeBench()
    for name in ("compare", "train_shard", "expect"):
        monkeypatch.setattr(bench, name, getattr(fake, name))
    return fake


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["initbench", "compare", "--schemes", "he,xavier", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return invoke


def strict(text: str) -> Any:
    return json.loads(text, parse_constant=pytest.fail)


def test_the_options_reach_the_bench(fake: FakeBench, invoke: Invoke) -> None:
    code, out, _ = invoke(
        "--seeds", "7", "-j", "3", "--executor", "ray", "--stack", "20",
        "--fresh", "--target", "0.9", "--runs-dir", "other",
    )  # fmt: skip
    [(called, schemes, how)] = fake.calls
    assert (code, called, schemes) == (0, "compare", ["he", "xavier"])
    del how["config"], how["emit"]
    assert how == {
        "seeds": 7, "jobs": 3, "executor": "ray", "ray_address": None, "stack": 20, "target_accuracy": 0.9,
        "runs_dir": Path("other"), "data_dir": None, "fresh": True,
    }  # fmt: skip
    assert "Test accuracy on mnist" in out


@pytest.mark.parametrize(
    ("arguments", "jobs"),
    [
        ([], 6),
        (["--set", "train.threads=2"], 3),
        (["--set", "train.threads=64"], 1),
        (["--executor", "inline"], 1),
        (["--executor", "processes"], 6),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_by_default_there_are_as_many_workers_as_their_threads_fill_cores(
    fake: FakeBench, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, arguments: list[str], jobs: int
) -> None:
    monkeypatch.setattr(cores, "available_cores", lambda: 6)
    invoke("--device", "cpu", *arguments)
    assert fake.calls[0][2]["jobs"] == jobs


@pytest.mark.parametrize("text", ["1/1", "3/10", "10/10"])
def test_a_shard_is_trained_and_not_compared(fake: FakeBench, invoke: Invoke, text: str) -> None:
    code, out, _ = invoke("--shard", text, "-j", "1")
    [(called, _, how)] = fake.calls
    assert (code, called) == (0, "train_shard")
    assert how["shard"] == tuple(map(int, text.split("/")))
    assert "target_accuracy" not in how
    assert f"shard {text}: 3 runs in runs (2 done, 1 diverged)" in out
    assert "initbench runs merge" in out
    assert "without --shard" in out


def test_a_shard_as_json_is_one_document(fake: FakeBench, invoke: Invoke, tmp_path: Path) -> None:
    _, out, _ = invoke("--shard", "3/10", "-j", "1", "--format", "json")
    document = strict(out)
    assert (document["shard"], document["runs_dir"]) == ([3, 10], "runs")
    assert [run["run_id"] for run in document["runs"]] == [run.run_id for run in RUNS]
    _, printed, _ = invoke("--shard", "3/10", "-j", "1", "--format", "json", "--out", "shard.json")
    assert printed == ""
    assert (tmp_path / "shard.json").read_text() == out


def test_a_shard_may_be_empty_and_one_with_a_failed_run_ends_with_1(fake: FakeBench, invoke: Invoke) -> None:
    fake.runs = []
    code, out, _ = invoke("--shard", "9/9", "-j", "1")
    assert (code, out.splitlines()[0]) == (0, "shard 9/9: 0 runs in runs")
    fake.runs = [run_result("he", 0, None, status="failed")]
    code, out, _ = invoke("--shard", "9/9", "-j", "1")
    assert (code, out.splitlines()[0]) == (1, "shard 9/9: 1 run in runs (1 failed)")


def test_a_dry_run_prints_the_plan_only(
    fake: FakeBench, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("initbench.cli.plan_view.cpu_model", lambda: "Some CPU")
    code, out, err = invoke("--dry-run", "-j", "2")
    assert (code, err, [called for called, _, _ in fake.calls]) == (0, "", ["expect"])
    facts = dict(line.split("  ", 1) for line in out.splitlines() if not line.startswith(" "))
    assert facts["runs"].strip() == "30 of 15 epochs each, 5 there already"
    assert facts["on"].strip() == "2 worker processes, cpu (auto), Some CPU"
    assert facts["expected"].strip() == "about 170 s"
    assert facts["seeds"].strip() == "0 to 9"
    invoke("--dry-run", "-j", "2", "--out", "plan.txt")
    assert (tmp_path / "plan.txt").read_text().split() == out.split()


def test_a_dry_run_as_json_is_one_document(fake: FakeBench, invoke: Invoke) -> None:
    fake.planned = plan(shard=(3, 10), runs=3, reused=1, expected_s=12.5, engine="stacked", workers=1, executor="ray")
    _, out, err = invoke("--dry-run", "--shard", "3/10", "--format", "json", "-j", "1")
    document = strict(out)
    assert err == ""
    assert fake.calls[0][2]["shard"] == (3, 10)
    expected = {
        "runs": 3, "reused": 1, "to_train": 2, "epochs": 15, "shard": [3, 10], "expected_s": 12.5, "executor": "ray",
        "workers": 1, "device": "cpu", "engine": "stacked", "parameters": 269_322,
    }  # fmt: skip
    assert {key: document[key] for key in expected} == expected
    assert document["dataset"]["name"] == "mnist"
    assert document["config"]["train"]["epochs"] == 15


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"expected_s": None}, ["!expected"]),
        ({"expected_s": 5400.0}, ["expected    about 1.5 h"]),
        ({"reused": 30, "expected_s": None}, ["nothing to train"]),
        ({"workers": 1, "executor": "inline"}, ["on          cpu (auto), "]),
        ({"workers": 8, "executor": "ray"}, ["Ray, cpu (auto)"]),
        ({"engine": "stacked", "workers": 1}, ["runs stacked"]),
        ({"shard": (2, 3), "runs": 1, "reused": 0}, ["shard       2 of 3", "1 of 15 epochs each"]),
        ({"shard": (9, 9), "runs": 0, "reused": 0, "seeds": ()}, ["0 of 15 epochs each", "nothing to train"]),
        ({"dataset": DIGITS}, ["mnist is neither on disk nor reachable"]),
    ],
    ids=str,
)
def test_what_the_plan_says(fake: FakeBench, invoke: Invoke, changes: dict[str, Any], texts: list[str]) -> None:
    fake.planned = plan(**changes)
    _, out, _ = invoke("--dry-run", "-j", "2")
    for text in texts:
        assert (text[1:] not in out) if text.startswith("!") else (text in out)


BAD = {
    "shard 0": (["--shard", "0/3"], "--shard 0/3: give K/N with 1 <= K <= N, such as 3/10"),
    "shard beyond": (["--shard", "4/3"], "--shard 4/3: give K/N"),
    "shard in letters": (["--shard", "x/y"], "--shard x/y: give K/N"),
    "shard of nothing": (["--shard", "3"], "--shard 3: give K/N"),
    "shard with a sign": (["--shard", "+1/3"], "--shard +1/3: give K/N"),
    "shard with a newline": (["--shard", "1/3\n"], "give K/N"),
    "shard in other digits": (["--shard", "١/٣"], "give K/N"),
    "empty shard": (["--shard", ""], "give K/N"),
    "shard as csv": (["--shard", "1/3", "--format", "csv"], "--format csv: with --shard there is no comparison"),
    "shard as svg": (["--shard", "1/3", "--format", "svg"], "--format svg: with --shard there is no comparison"),
    "dry run as latex": (["--dry-run", "--format", "latex"], "--format latex: with --dry-run there is no comparison"),
    "unknown executor": (["--executor", "prozesses"], "Did you mean 'processes'?"),
    "executor without name": (["--executor", ""], "allowed: auto, inline, processes, ray"),
    "address without port": (["--ray-address", "node"], "--ray-address node: give HOST:PORT"),
    "address with spaces": (["--ray-address", "a b:1"], "give HOST:PORT"),
    "address for processes": (["--executor", "processes", "--ray-address", "auto"], "processes uses no cluster"),
    "workers of a cluster": (
        ["--ray-address", "auto", "-j", "8"],
        "--jobs 8: the cluster at --ray-address has its own",
    ),
    "inline workers": (["--executor", "inline", "-j", "2"], "--jobs 2: --executor inline is this one process"),
    "empty stack": (["--stack", "0"], "--stack 0: give the number of models"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_options_get_one_clear_line(
    fake: FakeBench, invoke: Invoke, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = invoke(*arguments)
    assert (code, out, fake.calls) == (2, "", [])
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["auto", "node:6379", "10.0.0.5:6379"])
def test_addresses_that_are_passed_on(fake: FakeBench, invoke: Invoke, address: str) -> None:
    assert invoke("--ray-address", address)[0] == 0
    assert fake.calls[0][2]["ray_address"] == address


def test_shards_merged_are_the_comparison(
    invoke: Invoke, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny()))
    common = ("--config", "tiny.yaml", "--seeds", "2", "-j", "1")
    as_json = ("--format", "json", "-q")
    whole = strict(invoke(*common, *as_json, "--runs-dir", "whole")[1])
    sizes = [
        len(strict(invoke(*common, *as_json, "--shard", f"{part}/3", "--runs-dir", f"part{part}")[1])["runs"])
        for part in (1, 2, 3)
    ]
    monkeypatch.setattr(sys, "argv", ["initbench", "runs", "merge", "part1", "part2", "part3"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == "merged 4 runs into runs, 0 were there already\n"
    merged = strict(invoke(*common, *as_json)[1])
    assert sorted(sizes) == [1, 1, 2]
    assert merged.pop("reused") == 4
    assert whole.pop("reused") == 0
    assert merged["pairs"] == whole["pairs"]
    timeless = [{key: value for key, value in row.items() if "seconds" not in key} for row in merged["schemes"]]
    assert timeless == [{key: row[key] for key in timeless[0]} for row in whole["schemes"]]
