"""The runs folder: whole runs or none, and what a broken disk or folder gets."""

from __future__ import annotations

import errno
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from initbench.errors import StoreError
from initbench.results import DatasetInfo, EpochRow, Histogram, LayerSignal, RunResult, SignalRow, WeightSignal
from initbench.store import Broken, RunFiles, Store, folder_name

ID = "0123456789abcdef"
ROW = EpochRow(epoch=1, train_loss=0.5, train_accuracy=0.8, test_accuracy=0.9, seconds=1.0)
LAYER = LayerSignal(
    name="fc1", kind="Linear", activation="relu", units=2, finite=0.5, pre_mean=None, pre_std=1e-30, pre_rms=1,
    mean=0.4, std=0.6, sample_std=0.6, saturated=None, dead=0, effective_rank=1.9, max_rank=2, delta_rms=0.1,
    values=3, step=None, delta_finite=1,
    histogram=Histogram(low=0, high=2.5, counts=(3, 0, 1)),
)  # fmt: skip
WEIGHT = WeightSignal(
    name="fc1.weight", shape=(2, 3), scheme=None, formula=None, fan_in=3, fan_out=2, gain=None, target_std=None, mean=0,
    std=1, finite=1, symmetry=0.1, used=True, grad_norm=2, grad_std=1, grad_symmetry=0,
    grad_column_symmetry=0, update_ratio=1e-3,
)  # fmt: skip
HIDDEN = [".claims", ".lock", ".tmp", ".unfinished"]
SIGNALS = [SignalRow(epoch=epoch, layers=(LAYER,), weights=(WEIGHT,)) for epoch in (0, 5)]


def result(run_id: str = ID, seed: int = 0) -> RunResult:
    info = DatasetInfo(name="digits", stand_in_for=None, train_size=8, test_size=2, sha256="0" * 64)
    return RunResult(
        run_id=run_id, scheme="he_uniform", seed=seed, status="done", device="cpu", config={}, dataset=info,
        parameters=3, history=(ROW,), test_accuracy=0.9, init_s=0.1, train_s=1.0,
    )  # fmt: skip


def write(store: Store, run: RunResult) -> Path:
    files = RunFiles()
    files.row("training", ROW)
    files.weights({"w": torch.arange(6.0).view(2, 3).T})
    kept = store.keep(folder_name(run.scheme, run.seed, run.run_id), run, files.contents)
    return Path(kept.run_dir or "")


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "runs")
    path = write(store, result())
    assert store.find(ID) == result().model_copy(update={"run_dir": str(path)})
    assert list(store.runs()) == [store.find(ID)]
    assert store.find("f" * 16) is None
    assert json.loads((path / "metrics.jsonl").read_text()) == {"phase": "training", **ROW.model_dump()}


def with_metrics(store: Store, text: str) -> RunResult:
    path = write(store, result())
    (path / "metrics.jsonl").write_text(text)
    found = store.find(ID)
    assert found is not None
    return found


def test_signals_come_back_as_they_were_between_the_rows_of_other_phases(tmp_path: Path) -> None:
    store = Store(tmp_path)
    files = RunFiles()
    files.row("signals", SIGNALS[0])
    files.row("training", ROW)
    files.row("signals", SIGNALS[1])
    store.keep(folder_name("he", 0, ID), result(), files.contents)
    found = store.find(ID)
    assert found is not None
    assert store.signals(found) == SIGNALS
    assert store.signals(Path(found.run_dir or "")) == SIGNALS
    lines = (tmp_path / folder_name("he", 0, ID) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["signals", "training", "signals"]


def test_a_run_that_recorded_none_has_none(tmp_path: Path) -> None:
    path = write(Store(tmp_path), result())
    assert Store(tmp_path).signals(path) == []


GOOD = json.dumps({"phase": "training", **ROW.model_dump()})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "no row of a run's metrics"),
        ("", "no row of a run's metrics"),
        ("[1]", "no row of a run's metrics"),
        ("null", "no row of a run's metrics"),
        ("{}", "no row of a run's metrics"),
        ("[" * 100_000, "no row of a run's metrics"),
        ('{"phase": "signals", "epoch": 1}', "layers: missing"),
        ('{"phase": "signals", "epoch": -1, "layers": [], "weights": []}', "epoch: "),
        ('{"phase": "signals", "epoch": 1, "layers": [], "weights": [], "new": 1}', "new: "),
        (
            json.dumps({"phase": "signals", **SIGNALS[0].model_dump()}).replace("1e-30", "NaN"),
            "no row of a run's metrics: NaN, which JSON",
        ),
    ],
    ids=["cut", "empty", "list", "null", "no phase", "deep", "no layers", "epoch", "unknown", "nan"],
)
def test_broken_metrics_are_one_line_with_their_place(tmp_path: Path, line: str, reason: str) -> None:
    store = Store(tmp_path)
    run = with_metrics(store, f"{GOOD}\n{line}\n{GOOD}\n")
    with pytest.raises(StoreError) as caught:
        store.signals(run)
    text = str(caught.value)
    assert text.startswith(f"{run.run_dir}/metrics.jsonl:2: {reason}")
    assert "--fresh" in text
    assert "\n" not in text


def test_signals_that_are_not_on_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="was not stored"):
        store.signals(result())
    with pytest.raises(StoreError, match=r"metrics\.jsonl: No such file"):
        store.signals(tmp_path / "nowhere")
    run = with_metrics(store, "")
    (Path(run.run_dir or "") / "metrics.jsonl").write_bytes(b'{"phase": "\xff"}\n')
    with pytest.raises(StoreError, match=r"metrics\.jsonl:1: no row"):
        store.signals(run)


def test_weights_are_readable_without_initbench(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = write(Store(tmp_path), result())
    assert torch.equal(load_file(path / "weights.safetensors")["w"], torch.arange(6.0).view(2, 3).T)


def test_an_interrupt_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(Store(tmp_path), result())
    assert left_in(tmp_path) == []


def left_in(root: Path) -> list[str]:
    """Return the names in a runs folder, and what is in its hidden folders; their own names, which stay, left out."""
    names = {
        path.relative_to(root).as_posix() for folder in (".", ".claims", ".tmp") for path in (root / folder).glob("*")
    }
    return sorted(names - set(HIDDEN))


def test_a_run_that_is_there_already_is_replaced_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = write(store, result())
    (path / "leftover.txt").write_text("from before")
    write(store, result())
    assert sorted(file.name for file in path.iterdir()) == [
        "SHA256SUMS",
        "metrics.jsonl",
        "result.json",
        "weights.safetensors",
    ]
    assert left_in(tmp_path) == [path.name]


def test_a_run_under_another_name_replaces_it_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = write(store, result())
    store.keep(f"mine-seed0-{ID}", result(), {})
    assert not older.exists()
    assert len(store.match(ID)) == 1


def test_many_processes_finishing_the_same_run_leave_one_whole_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(Store(tmp_path), result()), range(80)))
    assert Store(tmp_path).find(ID) is not None
    assert left_in(tmp_path) == [folder_name("he_uniform", 0, ID)]


def test_a_failed_run_is_listed_but_not_found_for_reuse(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failed = result().model_copy(update={"status": "failed", "test_accuracy": None, "error": "out of memory"})
    write(store, failed)
    assert [run.status for run in store.runs() if isinstance(run, RunResult)] == ["failed"]
    assert store.find(ID) is None


def test_a_failed_run_does_not_take_the_place_of_one_that_did_not_fail(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = write(store, result())
    failed = result().model_copy(update={"status": "failed", "test_accuracy": None, "error": "out of memory"})
    assert store.keep(good.name, failed, {}).run_dir is None
    assert store.find(ID) == result().model_copy(update={"run_dir": str(good)})
    write(Store(tmp_path / "other"), failed)
    assert Store(tmp_path / "other").keep(good.name, result(), {}).run_dir is not None


@pytest.mark.parametrize("also_back", [False, True])
def test_a_run_that_was_moved_aside_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also_back: bool
) -> None:
    """The second rename fails, or that and the one back."""
    store = Store(tmp_path)
    write(store, result())
    renames, real = itertools.count(1), Path.rename

    def rename(path: Path, target: Path) -> Path:
        if next(renames) in ({2, 3} if also_back else {2}):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(StoreError, match="Input/output error"):
        write(store, result())
    assert store.find(ID) is not None
    assert left_in(tmp_path) == [folder_name("he_uniform", 0, ID)]


def test_several_runs_are_all_written_before_the_first_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [(f"he-seed{seed}-{seed:016x}", result(f"{seed:016x}", seed), {"notes.txt": b"x"}) for seed in range(4)]
    flushed, real = itertools.count(1), os.fsync

    def fsync(descriptor: int) -> None:
        if next(flushed) == 11:  # of three files for each run, in the fourth
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with Store(tmp_path).stay() as during, pytest.raises(StoreError, match="No space left"):
        Store(tmp_path).keep_all(runs, during)
    assert left_in(tmp_path) == []
    with Store(tmp_path).stay() as during:
        kept = Store(tmp_path).keep_all(runs, during)
    assert [run.run_dir for run in kept] == [str(tmp_path / name) for name, _, _ in runs]
    assert len(list(Store(tmp_path).runs())) == 4


def test_removing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it deletes: the folder is out of sight then, and swept by the next stay."""
    store = Store(tmp_path)
    folder = write(store, result())

    def killed(path: Path, ignore_errors: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            store.remove(folder)
    assert list(store.runs()) == []


def test_a_folder_that_changes_under_a_relative_path_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(Path("runs"))
    (tmp_path / "elsewhere").mkdir()
    with store.stay() as during:
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.keep_all([(f"he-seed0-{ID}", result(), {})], during)
    assert left_in(tmp_path / "runs") == [f"he-seed0-{ID}"]


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).keep(folder_name("he", 0, ID), result().model_copy(update={"config": {"lr": float("nan")}}), {})
    with pytest.raises(ValueError, match="JSON"):
        RunFiles().json("environment.json", {"load": float("inf")})
    assert left_in(tmp_path) == []


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
        with pytest.raises(StoreError, match="--runs-dir"), Store(root).stay():
            pass


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device\. Free some space"):
        write(Store(tmp_path), result())
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("label", ["../../x", "<script>", "[red]", "a b", "normal:std=0.01", "..."])
def test_folder_names_are_harmless(label: str) -> None:
    name = folder_name(label, 3, ID)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not name.startswith((".", "-"))
    assert name.endswith(f"seed3-{ID}")
