"""Damage to a stored run is found, whatever file it is in; what cannot be checked is said, and is no damage."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_settings import tiny
from safetensors.torch import load_file, save_file

import initbench
from initbench.checksums import CHECKSUMS, checksums, parse_checksums
from initbench.data import datasets
from initbench.errors import DataError
from initbench.merging import merge
from initbench.provenance import CHECKS, Verified
from initbench.store import Store
from initbench.verification import verify

FILES = ("SHA256SUMS", "config.yaml", "environment.json", "identity.json", "metrics.jsonl", "result.json",
         "weights.safetensors")  # fmt: skip
FLIPS = 3  # bits of each file


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a run that is done, of a pre-trained one, of one that diverged and of one that failed."""
    root = tmp_path_factory.mktemp("verified") / "runs"
    settings = {
        "done": tiny(seed=1),
        "pretrained": tiny(init="rbm:epochs=1", train={"epochs": 1}),
        "diverged": tiny(init="normal:std=1e30"),
    }
    folders = {name: Path(initbench.run(one, runs_dir=root).run_dir or "") for name, one in settings.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("initbench.work.executing.train", _fails)
        folders["failed"] = Path(initbench.run(tiny(seed=2), runs_dir=root).run_dir or "")
    return folders


def _fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("an operation that is not there")


@pytest.fixture
def done(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the run that is done, to be damaged."""
    return copied(runs["done"], tmp_path / "copy")


def copied(folder: Path, root: Path) -> Path:
    return Path(shutil.copytree(folder, root / folder.name))


def one(folder: Path, data_dir: Path | None = None) -> Verified:
    [verified] = verify([folder], data_dir)
    return verified


def outcomes(verified: Verified) -> dict[str, str]:
    return {check.name: check.outcome for check in verified.checks}


def test_what_was_not_touched_is_fine(runs: dict[str, Path]) -> None:
    before = {name: contents(folder) for name, folder in runs.items()}
    for verified in verify(runs.values()):
        assert outcomes(verified) == dict.fromkeys(CHECKS, "ok"), verified.checks
        assert not verified.failed
    assert {name: contents(folder) for name, folder in runs.items()} == before


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def damages(file: str, content: bytes) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Ways to damage one file, by name."""
    yield from {
        "longer": writing(content + b"\n"),
        "removed": Path.unlink,
        "a link": linked,
        "a folder": a_folder,
    }.items()
    if content:  # a failed run has no metrics
        yield "last byte gone", writing(content[:-1])
        yield "half gone", writing(content[: len(content) // 2])
        yield "empty", writing(b"")
        bits = random.Random(file)  # noqa: S311 # the same ones each time
        for place in bits.sample(range(8 * len(content)), FLIPS):
            yield f"bit {place}", writing(flipped(content, place))


def writing(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def linked(path: Path) -> None:
    """Put a symbolic link to the same bytes in its place."""
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to("../elsewhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.skipif("sys.platform == 'win32'")
@pytest.mark.parametrize("name", ["done", "failed"])
def test_every_damage_to_every_file_is_found(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    expected = {}
    for file, content in contents(runs[name]).items():
        for damage, do in damages(file, content):
            folder = copied(runs[name], tmp_path / f"{file} {damage}")
            do(folder / file)
            expected[folder] = f"{file}: {damage}"
    assert len(expected) >= 64
    assert [expected[found.folder] for found in verify(expected) if not found.failed] == []


@pytest.mark.parametrize("damage", ["extra file", "extra folder", "extra link"])
def test_what_came_later_is_told_and_no_damage(damage: str, done: Path) -> None:
    extra = done / "notes\x1b[31m"
    if damage == "extra folder":
        extra.mkdir()
    else:
        extra.symlink_to("nowhere") if damage == "extra link" else extra.touch()
    verified = one(done)
    assert not verified.failed
    assert verified.checks[0].reason == "notes\N{REPLACEMENT CHARACTER}[31m is no file of the run"


def test_the_files_that_are_damaged_are_named(done: Path) -> None:
    (done / "config.yaml").write_text("seed: 1\n")
    (done / "environment.json").unlink()
    files = one(done).checks[0]
    assert files.reason == "config.yaml has changed, environment.json is missing"


def rewritten(folder: Path) -> Path:
    """Write the checksums anew: what a forger does, or a program that works on a damaged file."""
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / CHECKSUMS).write_bytes(checksums(found))
    return folder


def edit_json(file: str, **changes: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))

    return edit


def edit_text(file: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return edit


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        weights = load_file(folder / "weights.safetensors")
        change(weights)
        save_file(weights, folder / "weights.safetensors")

    return edit


def edit_result(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        result = json.loads((folder / "result.json").read_text())
        change(result)
        (folder / "result.json").write_text(json.dumps(result))

    return edit


def both(*edits: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [edit(folder) for edit in edits]


def last_line(edit: Callable[[str], str]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        *lines, last = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        (folder / "metrics.jsonl").write_text("".join(lines) + edit(last))

    return change


YAML_LR, JSON_LR = ("config.yaml", "lr: 0.01", "lr: 0.02"), ("result.json", '"lr": 0.01', '"lr": 0.02')
INCOHERENT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "config.yaml": (edit_text(*YAML_LR), "config", "is not the config in result.json: train.lr 0.01, now 0.02"),
    "both configs": (both(edit_text(*YAML_LR), edit_text(*JSON_LR)), "config", "of identity.json: train.lr 0.01"),
    "no config": (edit_text("config.yaml", "lr", "lrr"), "config", ""),
    "seed": (edit_result(lambda result: result.update(seed=7)), "config", "seed and scheme of the result"),
    "scheme": (edit_result(lambda result: result.update(scheme="he_normal")), "config", "seed and scheme of the"),
    "torch": (edit_json("identity.json", torch="9.9"), "identity", "identity.json hashes to"),
    "identity no object": (lambda at: (at / "identity.json").write_text("[]"), "identity", "no JSON object"),
    "identity cut": (lambda at: (at / "identity.json").write_text("{"), "identity", "no JSON from line 1"),
    "identity gone": (lambda at: (at / "identity.json").unlink(), "identity", ""),
    "dataset": (edit_result(lambda result: result["dataset"].update(sha256="0" * 64)), "data", "has other bytes than"),
    "dataset of identity": (edit_result(lambda result: result["dataset"].update(sha256="0" * 64)), "identity", "data"),
    "device": (edit_result(lambda result: result.update(device="cuda:0")), "identity", "another type of device"),
    "stand-in": (edit_result(lambda result: result["dataset"].update(stand_in_for="mnist")), "data", "asks for digits"),
    "NaN": (edit_weights(lambda one: one["fc1.bias"].fill_(torch.nan)), "weights", "fc1.bias has values that are not"),
    "shape": (edit_weights(lambda one: one.update({"fc1.bias": torch.zeros(4)})), "weights", "fc1.bias is torch.float"),
    "dtype": (edit_weights(lambda one: one.update({"fc1.bias": one["fc1.bias"].double()})), "weights", "float64 [16]"),
    "tensor gone": (edit_weights(lambda one: one.pop("fc1.bias")), "weights", "fc1.bias of the config's model is not"),
    "tensor more": (edit_weights(lambda one: one.update(more=torch.zeros(1))), "weights", "'more' is not of the"),
    "a pickle": (lambda at: torch.save({}, at / "weights.safetensors"), "weights", "no safetensors"),
    "parameters": (edit_result(lambda result: result.update(parameters=7)), "weights", "have the 7 parameters"),
    "row twice": (last_line(lambda line: line + line), "metrics", "other epochs than the history"),
    "row gone": (last_line(lambda line: ""), "metrics", "other epochs than the history"),
    "row torn": (last_line(lambda line: line[:-9]), "metrics", "line 2"),
    "line end gone": (last_line(lambda line: line[:-1]), "metrics", "its last line is cut"),
    "number": (edit_text("metrics.jsonl", '"test_accuracy": 0.', '"test_accuracy": 0.1'), "metrics", "other epochs"),
    "phase": (edit_text("metrics.jsonl", '"phase": "training"', '"phase": "x"'), "metrics", "line 1"),
    "epoch twice": (
        both(last_line(lambda line: line + line), edit_result(lambda one: one["history"].append(one["history"][-1]))),
        "metrics", "count up from 1, each once",
    ),
    "last epoch gone": (
        both(last_line(lambda line: ""), edit_result(lambda one: one["history"].pop())),
        "metrics", "not that of the last epoch",
    ),
    "accuracy": (edit_result(lambda one: one.update(test_accuracy=0.999)), "metrics", "not that of the last epoch"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "name", "reason"), INCOHERENT.values(), ids=INCOHERENT)
def test_records_that_contradict_each_other_are_found_without_checksums(
    damage: Callable[[Path], object], name: str, reason: str, done: Path
) -> None:
    damage(done)
    if name != "config" or reason:
        rewritten(done)
    found = {check.name: check for check in one(done).checks}
    assert found[name].outcome == ("failed" if reason or name == "config" else "not checked"), found[name]
    assert reason in found[name].reason
    assert found["files"].outcome == ("ok" if name != "config" or reason else "failed")


def test_pretraining_rows_are_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(runs["pretrained"], tmp_path)
    edit_result(lambda result: result["pretraining"].pop())(folder)
    assert outcomes(one(rewritten(folder)))["metrics"] == "failed"


def test_weights_of_a_run_that_diverged_may_be_infinite(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(runs["diverged"], tmp_path)
    edit_weights(lambda one: one["fc1.bias"].fill_(torch.inf))(folder)
    assert outcomes(one(rewritten(folder)))["weights"] == "ok"


def test_an_older_run_is_not_damaged(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(runs["done"], tmp_path / "old")
    for file in ("identity.json", CHECKSUMS):
        (folder / file).unlink()
    assert outcomes(one(folder)) == dict.fromkeys(CHECKS, "ok") | {"files": "not checked", "identity": "not checked"}
    [kept] = merge([tmp_path / "old"], Store(tmp_path / "new")).runs
    assert outcomes(one(Path(kept.run_dir or ""))) == dict.fromkeys(CHECKS, "ok") | {"identity": "not checked"}


@pytest.mark.parametrize("content", [None, b"{", b'{"schema_version": 99}'], ids=["missing", "cut", "of a newer one"])
def test_a_folder_whose_result_cannot_be_read_is_one_failure(content: bytes | None, done: Path) -> None:
    (done / "result.json").unlink() if content is None else (done / "result.json").write_bytes(content)
    found = one(rewritten(done))
    assert found.result is None
    assert outcomes(found) == {"files": "failed"} | dict.fromkeys(CHECKS[1:], "not checked")
    assert found.checks[0].reason.startswith("result.json: ")


def test_a_linked_folder_is_not_followed(done: Path, tmp_path: Path) -> None:
    link = tmp_path / "other" / done.name
    link.parent.mkdir()
    link.symlink_to(done)
    assert one(link).checks[0].reason == "a symbolic link, which is not followed"


def test_a_scheme_that_is_not_here_is_no_damage(done: Path) -> None:
    for file in ("config.yaml", "result.json"):
        text = (done / file).read_text()
        (done / file).write_text(text.replace("xavier_uniform", "my_own_scheme"))
    assert outcomes(one(done))["config"] == "failed"  # the checksums are wrong: this may be damage
    found = one(rewritten(done))
    assert not [check for check in found.checks if check.outcome == "failed"]
    assert outcomes(found)["config"] == "not checked"
    assert "unknown scheme 'my_own_scheme'" in found.checks[1].reason


def as_run_on_mnist(folder: Path) -> Path:
    for file in ("config.yaml", "result.json"):
        (folder / file).write_text((folder / file).read_text().replace("digits", "mnist", 1))
    edit_result(lambda result: result["dataset"].update(name="mnist"))(folder)
    return rewritten(folder)


def test_data_that_is_not_here_is_not_fetched(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("initbench.data.fetch.fetch", lambda *_, **__: pytest.fail("a download"))
    [data] = [check for check in one(as_run_on_mnist(done)).checks if check.name == "data"]
    assert (data.outcome, data.reason) == ("not checked", "mnist is not on this machine")


def test_damaged_data_is_not_set_aside(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file in datasets["mnist"].files:  # type: ignore[attr-defined]
        (folder / file.archive).write_bytes(b"damaged")
    before = contents(folder)
    [data] = [check for check in one(as_run_on_mnist(done), tmp_path / "data").checks if check.name == "data"]
    assert (data.outcome, data.reason) == (
        "not checked", "mnist on this machine is damaged: `initbench data verify mnist`",
    )  # fmt: skip
    assert contents(folder) == before


def test_a_data_folder_that_is_none_is_an_error(done: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        one(done, tmp_path / "nowhere")


def test_a_dataset_is_read_once_for_all_runs(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, read = datasets["digits"], list[str]()
    monkeypatch.setattr(type(source), "read", _counted(type(source).read, read))
    assert len(list(verify(runs.values()))) == 4
    assert len(read) == 1


def _counted(function: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        calls.append("read")
        return function(*arguments)

    return counted


def test_the_name_of_a_file_may_be_anything() -> None:
    r"""As coreutils writes it: a backslash in front of the line, \\, \n and \r in the name."""
    names = ["a b", "back\\slash", "line\nbreak", "re\rturn", "\\n", " ", "ü", "\udcff"]
    written = checksums(dict.fromkeys(names, b"abc"))
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc": FIPS 180-4, example
    assert parse_checksums(written) == dict.fromkeys(names, known)
    assert f"\\{known}  line\\nbreak\n".encode() in written


@pytest.mark.parametrize("bad", [b"", b"x", b"\n", b"0" * 64 + b"  a", b"0" * 63 + b"  a\n", b"0" * 64 + b" a\n",
                                 (b"0" * 64 + b"  a\n") * 2, b"0" * 64 + b"  \n"], ids=str)  # fmt: skip
def test_what_are_no_checksums_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r"line"):
        parse_checksums(bad)
