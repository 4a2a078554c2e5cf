"""`initbench data path|fetch|verify`: the result on stdout, everything else on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_mirror import Mirror, Tiny
from typer.testing import CliRunner, Result

from initbench.cli.data import app
from initbench.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def data(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_path_prints_only_the_folder(tiny_as_mnist: Tiny, tmp_path: Path) -> None:
    folder = tiny_as_mnist.put_extracted(tmp_path / "[red]")
    result = data("path", "--data-dir", tmp_path / "[red]")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{folder}\n", "")


def test_path_is_an_error_where_it_is_nowhere(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    result = data("path", "mnist")
    assert isinstance(result.exception, DataError)
    assert "not on disk" in str(result.exception)
    assert result.stdout == ""
    assert not mirror.requests


@pytest.mark.parametrize("command", ["path", "fetch", "verify"])
def test_digits_come_with_a_library(command: str) -> None:
    result = data(command, "digits")
    assert result.exit_code == 0
    assert "sklearn" in result.stdout


@pytest.mark.parametrize("command", ["path", "fetch", "verify"])
def test_unknown_name_is_a_usage_error(command: str) -> None:
    assert isinstance(data(command, "mnits").exception, UsageError)


def test_fetch_downloads_once_and_then_says_where_it_is(
    tiny_as_mnist: Tiny, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    first, second = data("fetch", "--data-dir", tmp_path), data("fetch", "--data-dir", tmp_path)
    folder = tiny_as_mnist.family.folder(tmp_path)
    assert (first.exit_code, first.stdout) == (0, f"mnist is in {folder}\n")
    assert (second.exit_code, second.stdout) == (0, f"mnist is already in {folder}\n")
    assert mirror.requests == dict.fromkeys(tiny_as_mnist.archives, 1)


def test_fetch_replaces_a_bad_file_and_names_it(
    tiny_as_mnist: Tiny, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    bad = tiny_as_mnist.put_archives(tmp_path / "[red]") / "train-labels-idx1-ubyte.gz"
    bad.write_bytes(b"bad")
    result = data("fetch", "--data-dir", tmp_path / "[red]")
    assert result.exit_code == 0
    assert str(bad) in result.stderr
    assert "set aside" in result.stderr
    assert bad.read_bytes() == tiny_as_mnist.archives[bad.name]


def test_verify_passes_good_files(tiny_as_mnist: Tiny, tmp_path: Path) -> None:
    tiny_as_mnist.put_extracted(tmp_path)
    tiny_as_mnist.put_archives(tmp_path)
    result = data("verify", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert result.stdout.count("SHA-256") == 4
    assert result.stdout.count("MD5") == 4
    assert result.stderr == ""


@pytest.mark.parametrize("fault", ["bad", "missing"])
def test_verify_names_what_is_wrong_and_changes_nothing(fault: str, tiny_as_mnist: Tiny, tmp_path: Path) -> None:
    path = tiny_as_mnist.put_archives(tmp_path / "[red]") / "train-labels-idx1-ubyte.gz"
    if fault == "bad":
        path.write_bytes(b"bad")
    else:
        path.unlink()
    before = sorted(path.parent.iterdir())
    result = data("verify", "--data-dir", tmp_path / "[red]")
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if path.name in line)
    assert fault in row
    assert "[red]" in result.stdout
    assert sorted(path.parent.iterdir()) == before
