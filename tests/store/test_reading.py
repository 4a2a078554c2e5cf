"""A run's folder of another's making: read as it is, or reported in one short line; never a crash, a hang, or code."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from report.builders import run_result

from initbench.errors import StoreError
from initbench.results import EpochRow, RunResult
from initbench.store import Broken, RunFiles
from initbench.store import opening as limits
from initbench.store.opening import read_file
from initbench.store.reading import LONGEST_REASON, read_run, read_run_files
from initbench.store.strict_json import MOST_KEYS, MOST_VALUES, NotJSONError, parse_json
from initbench.store.weights import read_weights

ID = "0123456789abcdef"
RUN = run_result("he", run_id=ID)
DOCUMENT = RUN.model_dump(mode="json")


def folder_with(root: Path, content: bytes) -> Path:
    folder = root / f"he-seed0-{ID}"
    folder.mkdir()
    (folder / "result.json").write_bytes(content)
    return folder


def changed(**changes: Any) -> bytes:
    return json.dumps(DOCUMENT | changes).encode()


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in DOCUMENT.items() if name != key}).encode()


def spliced(key: str, raw: str) -> bytes:
    """The document with `raw`, which need not be JSON, as the value of `key`."""
    return changed(**{key: "@"}).replace(b'"@"', raw.encode())


def test_a_whole_run_is_read_with_its_place(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, changed(run_dir="/somewhere/else"))
    assert read_run(folder) == RUN.model_copy(update={"run_dir": str(folder)})


EPOCH = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.5, "test_accuracy": 0.5, "seconds": 1.0}

SPOILT: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "result.json: empty"),
    "blank": (b" \n", "result.json: empty"),
    "cut": (changed()[:-5], "result.json: no JSON from line 1, column "),
    "two documents": (changed() + b"{}", "result.json: no JSON from line 1, column "),
    "UTF-16": (changed().decode().encode("utf-16"), "result.json: byte 1 is not UTF-8 text"),
    "not UTF-8": (changed().replace(b'"cpu"', b'"\xff"'), "result.json: byte "),
    "NUL": (b"\0" * 100, "result.json: no JSON from line 1, column 1 on"),
    "pickle": (b"\x80\x04K\x01.", "result.json: byte 1 is not UTF-8 text"),
    "a list": (b"[]", "result.json: no result of a run"),
    "null": (b"null", "result.json: no result of a run"),
    "deep": (b"[" * 200_000, "result.json: nested too deeply"),
    "a deep config": (spliced("config", '{"a":' * 250 + "1" + "}" * 250), "result.json: no JSON"),
    "many values": (b"[" + b"0," * MOST_VALUES + b"0]", "result.json: more than 2,000,000 values"),
    "many keys": (json.dumps({str(key): 0 for key in range(2_000)}).encode(), "result.json: an object with more than"),
    "NaN": (spliced("train_s", "NaN"), "result.json: NaN, which JSON does not have"),
    "Infinity": (spliced("train_s", "-Infinity"), "result.json: -Infinity, which JSON does not have"),
    "NaN in the config": (spliced("config", '{"lr": NaN}'), "result.json: NaN, which JSON does not have"),
    "overflow": (spliced("config", '{"lr": 1e999}'), "result.json: a number that is too large"),
    "a long float": (spliced("config", f'{{"lr": 0.{"1" * 5_000}}}'), "result.json: a number that is too large"),
    "a huge integer": (spliced("seed", "9" * 5_000), "result.json: a number of 5,000 digits"),
    "a large integer": (changed(parameters=2**60), "result.json: parameters: out of range"),
    "a key twice": (changed()[:-1] + b', "seed": 1}', "result.json: the key 'seed' twice"),
    "a key twice inside": (spliced("config", '{"a": 1, "a": 2}'), "result.json: the key 'a' twice"),
    "half a character": (spliced("scheme", r'"\ud800"'), "result.json: no JSON"),
    "no version": (without("schema_version"), "result.json: schema_version: missing"),
    "newer": (
        json.dumps({"schema_version": 7, "what": "else"}).encode(),
        "result.json: written by a newer initbench (schema 7, this one reads 1); update initbench",
    ),
    "version 0": (changed(schema_version=0), "result.json: schema_version: none that there is"),
    "version true": (changed(schema_version=True), "result.json: schema_version: none that there is"),
    "version text": (changed(schema_version="1"), "result.json: schema_version: none that there is"),
    "no scheme": (without("scheme"), "result.json: scheme: missing"),
    "an unknown key": (changed(new=1), "result.json: new: not known"),
    "text for a number": (changed(seed="0"), "result.json: seed: of a wrong type"),
    "an unknown status": (changed(status="?"), "result.json: status: none of the words that are allowed"),
    "an accuracy above 1": (changed(test_accuracy=1.5), "result.json: test_accuracy: out of range"),
    "a negative time": (changed(train_s=-1), "result.json: train_s: out of range"),
    "a huge time": (changed(train_s=1e308), "result.json: train_s: out of range"),
    "epoch 0": (changed(history=[{**EPOCH, "epoch": 0}]), "result.json: history.0.epoch: out of range"),
    "wrong rows": (changed(history=[1] * 100_000), "result.json: history.0: of a wrong type"),
    "done without accuracy": (changed(test_accuracy=None), "result.json: a run has a test accuracy where"),
    "a section that is none": (changed(config={"train": 5}), "result.json: config: train is no mapping"),
    "another run": (changed(run_id="f" * 16), "its name is not one of run 'ffffffffffffffff'"),
    "no id": (changed(run_id=""), "its name is not one of run ''"),
    "a part of the id": (changed(run_id="f"), "its name is not one of run 'f'"),
    "a terrible id": (changed(run_id="\x1b]0;" + "x" * 5_000), "its name is not one of run '\\x1b]0;xxx"),
    "a terrible key": (changed(**{"\x1b[31m\n" + "x" * 5_000: 1}), "result.json: \N{REPLACEMENT CHARACTER}[31m x"),
}


@pytest.mark.parametrize(("content", "reason"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_result_is_one_short_line_that_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    began = time.perf_counter()
    broken = read_run(folder_with(tmp_path, content))
    assert time.perf_counter() - began < 2
    assert isinstance(broken, Broken)
    assert broken.reason.startswith(reason)
    assert broken.reason.isprintable()
    assert len(broken.reason) <= LONGEST_REASON
    for jargon in ("Input should", "Field required", "Value error", "Extra inputs", "pydantic", "type="):
        assert jargon not in broken.reason


def _as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _as_socket(file: Path) -> None:
    file.unlink()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(file.parent)  # the path of a socket is short
        one.bind(file.name)


def _as_link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere.json")
    file.symlink_to(file.parent.parent / "elsewhere.json")


def _as_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def _as_device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _as_giant(file: Path) -> None:
    os.truncate(file, 1 << 40)  # a hole: it takes no place on the disk


def _as_missing(file: Path) -> None:
    file.unlink()


FOLDER_IN_LINK = "a symbolic link, which is not followed"
OTHER_KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (_as_folder, "no regular file"),
    "pipe": (_as_pipe, "no regular file"),
    "socket": (_as_socket, "no regular file"),
    "link": (_as_link, FOLDER_IN_LINK),
    "loop": (_as_loop, FOLDER_IN_LINK),
    "device": (_as_device, FOLDER_IN_LINK),
    "giant": (_as_giant, "larger than "),
    "missing": (_as_missing, "No such file or directory"),
}
NAMES = ("result.json", "metrics.jsonl", "weights.safetensors", "config.yaml")


@pytest.mark.skipif("sys.platform == 'win32'")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("spoil", "reason"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_what_is_no_regular_file_of_a_runs_size_is_not_read(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str, name: str
) -> None:
    folder = folder_with(tmp_path, changed())
    (folder / name).write_bytes(changed())
    spoil(folder / name)
    with pytest.raises(OSError, match=f"{reason}.*{name}"):
        read_file(folder / name)
    found = read_run(folder) if name == "result.json" else read_run_files(folder)
    if reason != "No such file or directory" or name == "result.json":
        assert isinstance(found, Broken)
        assert found.reason.startswith(f"{name}: {reason}")


@pytest.mark.skipif("sys.platform == 'win32'")
def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, changed())
    (tmp_path / "runs").mkdir()
    link = tmp_path / "runs" / folder.name
    link.symlink_to(folder)
    assert read_run(link) == Broken(link, FOLDER_IN_LINK, precious=True)


@pytest.mark.parametrize("name", LARGE := (*limits.LARGEST, "notes.txt"))
def test_a_file_of_just_the_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(limits, "LARGEST", dict.fromkeys(limits.LARGEST, 1_000))
    monkeypatch.setattr(limits, "LARGEST_OTHER", 1_000)
    (tmp_path / name).write_bytes(bytes(1_000))
    assert read_file(tmp_path / name) == bytes(1_000)
    (tmp_path / name).write_bytes(bytes(1_001))
    with pytest.raises(OSError, match="larger than"):
        read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a\x1b[2J", "two\nlines", "\udcff", "\N{RIGHT-TO-LEFT OVERRIDE}x"], ids=ascii)
def test_files_whose_names_cannot_be_shown_are_not_taken(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, changed())
    assert read_run_files(folder) == {"result.json": changed()}
    (folder / name).write_text("x")
    broken = read_run_files(folder)
    assert isinstance(broken, Broken)
    assert broken.reason.endswith(": not a name that can be shown")
    assert broken.reason.isprintable()


def test_a_folder_of_very_many_files_is_not_taken(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, changed())
    for number in range(limits.MOST_FILES):
        (folder / f"note {number}").touch()
    broken = read_run_files(folder)
    assert isinstance(broken, Broken)
    assert broken.reason.endswith(": more than 100 files")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-0.5e-3", -0.0005), ('{"a": [true, null, "ü"]}', {"a": [True, None, "ü"]}), (" [] ", [])],
)
def test_json_is_read_as_it_is(text: str, value: Any) -> None:
    assert parse_json(text.encode()) == value
    assert type(parse_json(text.encode())) is type(value)


def test_the_bounds_of_json_are_where_they_are_said_to_be() -> None:
    keys = {str(key): 0 for key in range(MOST_KEYS)}
    assert parse_json(json.dumps(keys).encode()) == keys
    assert parse_json(b"1" * 100) == int("1" * 100)
    for text in (json.dumps({**keys, "more": 0}), "1" * 101):
        with pytest.raises(NotJSONError):
            parse_json(text.encode())


def test_the_longest_run_that_a_config_has_is_read(tmp_path: Path) -> None:
    row = EpochRow(epoch=100_000, train_loss=1 / 3, train_accuracy=1 / 3, test_accuracy=1 / 3, seconds=1 / 3)
    rows = ",\n".join([json.dumps(row.model_dump(), indent=10)] * 100_000)
    found = read_run(folder_with(tmp_path, spliced("history", f"[{rows}]")))
    assert isinstance(found, RunResult)
    assert len(found.history) == 100_000


WEIGHTS = {"w": torch.arange(6.0).view(2, 3), "n": torch.tensor(3), "b": torch.zeros(2, dtype=torch.bfloat16)}


def stored_weights(root: Path, content: bytes | None = None) -> Path:
    files = RunFiles()
    files.weights(WEIGHTS)
    (root / "weights.safetensors").write_bytes(files.contents["weights.safetensors"] if content is None else content)
    return root


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    found = read_weights(stored_weights(tmp_path))
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


def safetensors(header: object, body: int = 24) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def tensor(dtype: str, shape: list[int], start: int = 0, end: int = 24) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (safetensors({"w": tensor("F32", [6])})[:20], "damaged"),
        (safetensors({"w": tensor("F32", [6])})[:-1], "damaged"),
        (safetensors({"w": tensor("F32", [6])}) + b"x", "damaged"),
        (bytes(1_000), "damaged"),
        (b"\xff" * 1_000, "damaged"),
        (struct.pack("<Q", 1 << 62) + b"{}", "damaged"),
        (safetensors({"a": tensor("F32", [6]), "b": tensor("F32", [6])}), "damaged"),
        (safetensors({"a": tensor("F32", [4], 8, 24)}), "damaged"),
        (safetensors({"a": tensor("F32", [6], 0, 1 << 62)}), "damaged"),
        (safetensors({"a": tensor("F32", [1 << 62, 1 << 62])}), "damaged"),
        (safetensors({"a": tensor("F32", [-6])}), "damaged"),
        (safetensors({"a": tensor("object", [3])}), "damaged"),
        (safetensors({"a": tensor("F8_E8M0", [24])}), "damaged"),
        (safetensors({"a": tensor("C64", [3])}), "'a' is torch.complex64, which no model's weights are"),
        (safetensors(b"[" * 100_000), "damaged"),
        (b"\x80\x04K\x01.", "damaged"),
    ],
    ids=[
        *("empty", "cut header", "cut body", "more", "zeros", "ones", "absurd header", "overlap", "hole", "beyond"),
        *("absurd shape", "negative", "no type", "not in torch", "complex", "deep", "pickle"),
    ],
)  # fmt: skip
def test_damaged_weights_are_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(StoreError) as caught:
        read_weights(stored_weights(tmp_path, content))
    assert str(caught.value).startswith(f"{tmp_path / 'weights.safetensors'}: {reason}")
    assert str(caught.value).isprintable()


def test_weights_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"weights\.safetensors: No such file"):
        read_weights(tmp_path)


def test_text_that_utf8_does_not_have_is_written_out(tmp_path: Path) -> None:
    files = RunFiles()
    files.text("traceback.txt", "no \udcff.py")
    assert files.contents["traceback.txt"] == b"no \\udcff.py"
    failed = run_result(accuracy=None, status="failed", run_id=ID, error="no \udcff.py")
    found = read_run(folder_with(tmp_path, json.dumps(failed.model_dump(mode="json")).encode()))
    assert isinstance(found, RunResult)
    assert found.error == "no \\udcff.py"
