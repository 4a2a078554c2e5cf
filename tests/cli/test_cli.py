"""Every command as a user gives it: what it prints where, its exit code, and what bad input gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from bench_settings import tiny
from reliability.processes import start, wait_until

from initbench import __version__
from initbench.cli.app import main
from initbench.report.schemas import shipped_path


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Invoke = Callable[..., Ended]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    def invoke(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["initbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)

    return invoke


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny()))
    return str(path)


def document(text: str, name: str) -> dict[str, Any]:
    """Parse strict JSON and validate it against the shipped schema."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    parsed: dict[str, Any] = json.loads(text, parse_constant=refuse)
    jsonschema.validate(parsed, json.loads(shipped_path(name).read_text()))
    return parsed


def test_run_prints_a_line_per_epoch_and_the_outcome(invoke: Invoke, config: str) -> None:
    ended = invoke("run", config)
    assert ended.code == 0
    for expected in ("epoch 1/2", "epoch 2/2", "cpu (auto)", "digits", "12,730", "runs/xavier_uniform-seed0-"):
        assert expected in ended.err
    assert ended.out.startswith("test accuracy ")


def test_run_json_is_one_valid_document(invoke: Invoke, config: str) -> None:
    ended = invoke(
        "run", config, "--format", "json", "--scheme", "he", "--seed", "5", "--epochs", "3", "--limit", "100"
    )
    result = document(ended.out, "run")
    assert (result["scheme"], result["seed"], result["status"]) == ("he_uniform", 5, "done")
    assert len(result["history"]) == 3
    assert result["dataset"]["train_size"] == 100
    assert result["config"]["init"]["scheme"] == "he_uniform:gain=relu:mode=fan_in"
    assert Path(result["run_dir"], "weights.safetensors").is_file()


def test_run_quietly_prints_the_result_only(invoke: Invoke, config: str) -> None:
    ended = invoke("run", config, "-q")
    assert ended.err == ""
    assert ended.out.startswith("test accuracy ")


def test_run_again_says_that_it_did_not_train(invoke: Invoke, config: str) -> None:
    first, again = invoke("run", config, "--format", "json"), invoke("run", config, "--format", "json")
    assert "not trained again" in again.err
    assert again.out == first.out


def test_named_options_beat_set_and_set_beats_the_file(invoke: Invoke, config: str) -> None:
    ended = invoke("run", config, "--set", "train.epochs=3", "--set", "seed=4", "--epochs", "1", "--format", "json")
    result = document(ended.out, "run")
    assert (result["config"]["train"]["epochs"], result["seed"]) == (1, 4)


def test_compare_prints_table_verdicts_and_warning(invoke: Invoke, config: str) -> None:
    ended = invoke("compare", "--config", config, "--schemes", "xavier,he,normal:std=0.01", "--seeds", "2", "-j", "1")
    assert ended.code == 0
    for expected in ("normal:std=0.01", "he - xavier:", "points [", "too few seeds to tell", "7 seeds would do"):
        assert expected in ended.out
    assert "run 6/6" in ended.err


def test_compare_json_is_one_valid_document(invoke: Invoke, config: str) -> None:
    ended = invoke(
        "compare", "--config", config, "--schemes", "xavier, he", "--seeds", "2", "-j", "1", "--format", "json"
    )
    comparison = document(ended.out, "compare")
    assert [row["scheme"] for row in comparison["schemes"]] == ["xavier", "he"]
    assert comparison["pairs"][0]["n"] == 2


def test_compare_json_with_divergence_is_still_strict(invoke: Invoke, config: str) -> None:
    ended = invoke(
        "compare", "--config", config, "--schemes", "he,normal:std=1e30", "--seeds", "2", "-j", "1", "--format", "json"
    )
    comparison = document(ended.out, "compare")
    assert comparison["schemes"][1]["diverged"] == 2
    assert comparison["pairs"][0]["difference"] is None
    assert ended.code == 0


@pytest.mark.parametrize(
    ("format_", "start"),
    [
        ("table", "Test accuracy on"),
        ("csv", "scheme,"),
        ("md", ""),
        ("latex", ""),
        ("json", "{"),
        ("svg", "<svg"),
    ],
)
def test_compare_out_writes_the_file_and_nothing_to_stdout(
    invoke: Invoke, config: str, tmp_path: Path, format_: str, start: str
) -> None:
    out = tmp_path / "result.txt"
    arguments = ("compare", "--config", config, "--schemes", "he", "--seeds", "1", "-j", "1", "--format", format_)
    printed = invoke(*arguments)
    ended = invoke(*arguments, "--out", str(out))
    assert (ended.code, ended.out) == (0, "")
    assert out.read_text().startswith(start)
    assert "he" in out.read_text()
    if format_ in ("csv", "md", "latex"):  # json says how many runs were reused; a table is as wide as the terminal
        assert out.read_text() == printed.out
    assert "url(http" not in out.read_text().replace('"', "")  # a picture fetches nothing


def test_stand_in_is_said_before_training_and_in_the_result(invoke: Invoke, config: str) -> None:
    ended = invoke("run", config, "--set", "data.name=mnist")
    assert "stand-in" in ended.err
    assert ended.err.index("stand-in") < ended.err.index("epoch 1/2")
    assert "digits (stand-in for mnist)" in ended.out
    comparison = invoke(
        "compare", "--config", config, "--set", "data.name=mnist", "--schemes", "he", "--seeds", "1", "-j", "1"
    )
    assert "stand-in for mnist" in comparison.out
    as_json = invoke("run", config, "--set", "data.name=mnist", "--format", "json")
    assert document(as_json.out, "run")["dataset"]["stand_in_for"] == "mnist"


def test_schemes_lists_all_and_explains_one(invoke: Invoke) -> None:
    from initbench.schemes import schemes

    listed = invoke("schemes").out
    assert all(name in listed for name in schemes.all_names())
    explained = invoke("schemes", "xavier").out
    for expected in ("xavier_uniform", "Glorot & Bengio 2010", "0.043853", "0.062500", "0.086711"):
        assert expected in explained  # sqrt(2 / (784 + 256)), sqrt(2 / 512), sqrt(2 / 266)


def test_validate_prints_a_config_that_loads_back(invoke: Invoke, config: str, tmp_path: Path) -> None:
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(invoke("validate", config).out)
    again = invoke("validate", str(resolved))
    assert again.out == resolved.read_text()
    assert "fallback: digits" in again.out


def test_runs_list_show_remove(invoke: Invoke, config: str) -> None:
    assert "no runs in" in invoke("runs", "list").out
    run_id = document(invoke("run", config, "--format", "json").out, "run")["run_id"]
    assert run_id[:8] in invoke("runs", "list").out
    assert [run["run_id"] for run in json.loads(invoke("runs", "list", "--format", "json").out)] == [run_id]
    assert "train loss" in invoke("runs", "show", run_id[:6]).out
    assert document(invoke("runs", "show", run_id, "--format", "json").out, "run")["run_id"] == run_id
    assert invoke("runs", "remove", run_id[:6]).code == 0
    assert "no runs in" in invoke("runs", "list").out


def test_runs_list_names_what_it_cannot_read(invoke: Invoke) -> None:
    folder = Path("runs/[red]-seed0-0123456789abcdef")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{")
    ended = invoke("runs", "list")
    assert ended.code == 0
    assert "skipped [red]-seed0-0123456789abcdef" in ended.err
    assert invoke("runs", "show", "0123").code == 1
    assert invoke("runs", "remove", "0123").code == 0


def test_version(invoke: Invoke) -> None:
    assert invoke("--version").out == f"initbench {__version__}\n"


BAD: dict[str, tuple[tuple[str, ...], int, str]] = {
    "missing config": (("run", "nosuch.yaml"), 2, "nosuch.yaml"),
    "directory": (("run", "."), 2, "."),
    "empty config": (("run", "empty.yaml"), 2, "empty"),
    "binary config": (("run", "binary.yaml"), 2, "binary.yaml"),
    "list config": (("run", "list.yaml"), 2, "mapping"),
    "misspelt key": (("run", "misspelt.yaml"), 2, "misspelt.yaml:2:3: train.epoch: unknown key. Did you mean"),
    "unknown scheme": (("run", "tiny.yaml", "--scheme", "xavier_norml"), 2, "Did you mean 'xavier_normal'?"),
    "unknown scheme in compare": (("compare", "--schemes", "he,xaviar"), 2, "Did you mean 'xavier'?"),
    "no scheme in compare": (("compare", "--schemes", ","), 2, "no schemes given"),
    "unknown dataset": (("run", "tiny.yaml", "--set", "data.name=minst"), 2, "Did you mean 'mnist'?"),
    "unknown device": (("run", "tiny.yaml", "--device", "tpu"), 2, "--device tpu: got 'tpu', allowed: auto, cpu, cuda"),
    "unknown optimizer": (("run", "tiny.yaml", "--set", "train.optimizer=adm"), 2, "adam"),
    "unfit scheme": (("run", "tiny.yaml", "--scheme", "dirac"), 2, "'dirac' fills tensors with 3, 4 or 5"),
    "negative size": (("run", "tiny.yaml", "--set", "model.hidden=[-4]"), 2, "model.hidden"),
    "negative lr": (("run", "tiny.yaml", "--set", "train.lr=-1"), 2, "train.lr"),
    "negative limit": (("run", "tiny.yaml", "--limit", "-5"), 2, "--limit -5: got -5, allowed"),
    "negative limit by --set": (("run", "tiny.yaml", "--set", "data.limit=-5"), 2, "data.limit"),
    "negative seed": (("run", "tiny.yaml", "--seed", "-1"), 2, "--seed -1: got -1, allowed"),
    "negative gain": (("run", "tiny.yaml", "--scheme", "xavier:gain=-1"), 2, "gain=-1"),
    "weights beyond float32": (("run", "tiny.yaml", "--scheme", "constant:val=1e300"), 2, "float32"),
    "bias beyond float32": (("run", "tiny.yaml", "--set", "init.bias=1e300"), 2, "init.bias"),
    "range beyond float32": (("run", "tiny.yaml", "--scheme", "uniform:a=-3e38:b=3e38"), 2, "cannot fill fc1.weight"),
    "bounds the wrong way round": (("schemes", "uniform:a=2:b=1"), 2, "a=2.0 must lie below"),
    "the same scheme twice": (("compare", "--schemes", "he,kaiming"), 2, "are the same scheme"),
    "zero epochs": (("run", "tiny.yaml", "--epochs", "0"), 2, "--epochs 0: got 0, allowed"),
    "zero seeds": (("compare", "--schemes", "he", "--seeds", "0"), 2, "--seeds 0"),
    "too many seeds": (("compare", "--schemes", "he", "--seeds", "100000000000"), 2, "--seeds"),
    "no workers": (("compare", "--schemes", "he", "-j", "0"), 2, "--jobs 0"),
    "target in percent": (("compare", "--schemes", "he", "--target", "97"), 2, "--target 97: give an accuracy"),
    "name with ../": (("run", "tiny.yaml", "--set", "name=../x"), 2, "name"),
    "name with markup": (("run", "tiny.yaml", "--set", "name='[red]'"), 2, "name"),
    "name with html": (("run", "tiny.yaml", "--set", "name=<script>"), 2, "<script>"),
    "runs folder is a file": (("run", "tiny.yaml", "--runs-dir", "empty.yaml"), 1, "--runs-dir"),
    "data folder is missing": (("run", "tiny.yaml", "--set", "data.name=mnist", "--data-dir", "nosuch"), 1, "nosuch"),
    "no data": (("run", "tiny.yaml", "--set", "data.name=mnist", "--no-fallback"), 1, "initbench data fetch mnist"),
    "out is a folder": (("compare", "--schemes", "he", "--out", "."), 2, "--out"),
    "out in no folder": (("compare", "--schemes", "he", "--out", "nosuch/x.json"), 2, "--out"),
    "run that is not there": (("runs", "show", "../../etc"), 2, "no run matches"),
    "remove what is not there": (("runs", "remove", "abcd"), 2, "no run matches"),
    "plain mirror": (("data", "fetch", "kmnist"), 2, "https"),
    "data that is nowhere": (("data", "path"), 1, "initbench data fetch mnist"),
    "unknown command": (("trian",), 2, "trian"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(
    invoke: Invoke,
    config: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "misspelt.yaml").write_text("train:\n  epoch: 3\n")
    if message == "https":
        monkeypatch.setenv("INITBENCH_MIRROR", "http://example.org/")
    before = sorted(tmp_path.rglob("*"))
    ended = invoke(*arguments)
    assert ended.code == code
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    if arguments[0] != "trian":  # Typer's own box, with the commands that there are
        assert len(ended.err.splitlines()) == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if "cache" not in path.parts] == before


@pytest.mark.skipif("sys.platform == 'win32'")
def test_completion_offers_commands_and_scheme_names() -> None:
    def complete(words: str) -> str:
        environment = os.environ | {
            "_INITBENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        script = "import sys; sys.argv = ['initbench']; from initbench.cli.app import main; main()"
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
        ).stdout

    assert "compare" in complete("initbench co").split()
    assert set(complete("initbench compare --schemes he,xav").split()) == {
        "he,xavier",
        "he,xavier_normal",
        "he,xavier_uniform",
    }
    assert "orthogonal" in complete("initbench run x.yaml --scheme orth").split()
    assert "orthogonal" in complete("initbench schemes orth").split()


def test_python_m_initbench_is_the_same_program() -> None:
    ended = subprocess.run([sys.executable, "-m", "initbench", "--version"], capture_output=True, text=True, timeout=60)
    assert ended.stdout == f"initbench {__version__}\n"


PROGRAM = (sys.executable, "-m", "initbench")
ONE_RUN = ("--schemes", "he", "--seeds", "1", "-j", "1", "--format", "csv")


def test_a_terminal_that_cannot_show_a_character_shows_another() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([*PROGRAM, "schemes", "normal"], env=environment, capture_output=True, timeout=60)
    assert ended.returncode == 0
    assert b"N(mean, std?)" in ended.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a file that is always full")
def test_a_full_disk_behind_stdout_is_one_clear_line() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*PROGRAM, "schemes"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["error: the output cannot be written: No space left on device."]


def test_an_out_file_that_cannot_be_written_in_the_end_is_printed(
    invoke: Invoke, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("initbench.cli.output.write_atomically", full)
    ended = invoke("compare", "--config", config, *ONE_RUN, "--out", "x.csv", "-q")
    assert ended.code == 1
    assert ended.out.startswith("scheme,")
    assert "--out 'x.csv': No space left on device; printed instead." in ended.err


def test_out_follows_a_link(invoke: Invoke, config: str, tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    invoke("compare", "--config", config, *ONE_RUN, "--out", str(link))
    assert link.is_symlink()
    assert target.read_text().startswith("scheme,")


def test_an_interrupted_comparison_of_workers_exits_130_and_leaves_no_half_run(config: str, tmp_path: Path) -> None:
    arguments = ["compare", "--config", config, "--schemes", "he,xavier", "--epochs", "20000", "-j", "2"]
    with start(arguments, tmp_path) as command:
        wait_until(lambda: re.search("^on ", command.err, re.MULTILINE))  # planned: workers are started now
        time.sleep(1)
        command.kill(signal.SIGINT)
        ended = command.wait(30)
        assert command.left_behind() == []
    err = ended.err
    assert ended.code == 130
    assert "Traceback" not in err
    assert list((tmp_path / "runs").glob("[!.]*")) == []
    assert f"To go on from there:\n  initbench compare --config {config}" in err
