"""The runs folder: whole runs or none, and what a broken disk or folder gets."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from initbench.errors import StoreError
from initbench.results import DatasetInfo, EpochRow, RunResult
from initbench.store import Broken, Store, folder_name

ID = "0123456789abcdef"
ROW = EpochRow(epoch=1, train_loss=0.5, train_accuracy=0.8, test_accuracy=0.9, seconds=1.0)


def result(run_id: str = ID, seed: int = 0) -> RunResult:
    info = DatasetInfo(name="digits", stand_in_for=None, train_size=8, test_size=2, sha256="0" * 64)
    return RunResult(
        run_id=run_id, scheme="he_uniform", seed=seed, status="done", device="cpu", config={}, dataset=info,
        parameters=3, history=(ROW,), test_accuracy=0.9, init_s=0.1, train_s=1.0,
    )  # fmt: skip


def write(store: Store, run: RunResult) -> Path:
    with store.writing(folder_name(run.scheme, run.seed, run.run_id), run.run_id) as writer:
        writer.row("training", ROW)
        writer.weights({"w": torch.arange(6.0).view(2, 3).T})
        writer.json("result.json", run.model_dump(mode="json"))
    return writer.final_path


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "runs")
    path = write(store, result())
    assert store.find(ID) == result().model_copy(update={"run_dir": str(path)})
    assert list(store.runs()) == [store.find(ID)]
    assert store.find("f" * 16) is None
    assert json.loads((path / "metrics.jsonl").read_text()) == {"phase": "training", **ROW.model_dump()}


def test_weights_are_readable_without_initbench(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = write(Store(tmp_path), result())
    assert torch.equal(load_file(path / "weights.safetensors")["w"], torch.arange(6.0).view(2, 3).T)


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted() -> None:
        with store.writing(folder_name("he", 0, ID), ID) as writer:
            writer.row("training", ROW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_there_already_is_replaced_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = write(store, result())
    (path / "leftover.txt").write_text("from before")
    write(store, result())
    assert sorted(file.name for file in path.iterdir()) == ["metrics.jsonl", "result.json", "weights.safetensors"]
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [path.name]


def test_a_run_under_another_name_replaces_it_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = write(store, result())
    with store.writing(f"mine-seed0-{ID}", ID) as writer:
        writer.json("result.json", result().model_dump(mode="json"))
    assert not older.exists()
    assert len(store.match(ID)) == 1


def test_many_processes_finishing_the_same_run_leave_one_whole_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(Store(tmp_path), result()), range(80)))
    assert Store(tmp_path).find(ID) is not None
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [folder_name("he_uniform", 0, ID)]


def test_a_failed_run_is_listed_but_not_found_for_reuse(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failed = result().model_copy(update={"status": "failed", "test_accuracy": None, "error": "out of memory"})
    write(store, failed)
    assert [run.status for run in store.runs() if isinstance(run, RunResult)] == ["failed"]
    assert store.find(ID) is None


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"), Store(tmp_path).writing(folder_name("he", 0, ID), ID) as writer:
        writer.json("result.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "\x00\xff", json.dumps({"schema_version": 99}), '{"test_accuracy": NaN}'],
    ids=["empty", "cut", "list", "null", "binary", "other version", "nan"],
)
def test_a_broken_folder_is_named_and_skipped(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    whole = write(store, result("f" * 16, seed=1))
    broken = write(store, result())
    (broken / "result.json").write_text(content, encoding="latin-1")
    found = list(store.runs())
    assert [run.run_dir for run in found if isinstance(run, RunResult)] == [str(whole)]
    assert [run.path for run in found if isinstance(run, Broken)] == [broken]
    assert store.find(ID) is None


def test_other_files_in_the_folder_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    (tmp_path / "notes-0123456789abcdef").write_text("a file, not a folder")
    (tmp_path / "some-folder").mkdir()
    (tmp_path / f".he-seed0-{ID}").mkdir()  # a run that is being written
    assert list(Store(tmp_path).runs()) == []
    assert list(Store(tmp_path / "nowhere").runs()) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [(ID, 1), ("0123", 1), ("f", 0), ("ffff", 1), ("he_uniform-seed0-" + ID, 1), ("../x", 0), ("", 0)],
)
def test_match(tmp_path: Path, text: str, count: int) -> None:
    store = Store(tmp_path)
    write(store, result())
    write(store, result("f" * 16, seed=1))
    assert len(store.match(text)) == count


def test_remove_deletes_that_run_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    first, second = write(store, result()), write(store, result("f" * 16))
    outside = tmp_path / f"precious-{ID}"
    outside.mkdir()
    store.remove(first)
    for path in (outside, store.root, store.root / ".." / outside.name):
        with pytest.raises(StoreError, match="nothing was removed"):
            store.remove(path)
    assert outside.exists()
    assert second.exists()
    assert not first.exists()


def test_a_root_that_is_no_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(StoreError, match="--runs-dir"):
            Store(root).check_writable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a file that is always full")
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def write_to_full_disk() -> None:
        with store.writing(folder_name("he", 0, ID), ID) as writer:
            (writer._partial / "config.yaml").symlink_to("/dev/full")
            writer.text("config.yaml", "seed: 0\n")

    with pytest.raises(StoreError, match="No space left on device"):
        write_to_full_disk()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", ["../../x", "<script>", "[red]", "a b", "normal:std=0.01", "..."])
def test_folder_names_are_harmless(label: str) -> None:
    name = folder_name(label, 3, ID)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not name.startswith((".", "-"))
    assert name.endswith(f"seed3-{ID}")
