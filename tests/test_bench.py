"""Runs and comparisons end to end on a tiny problem: identity, pairing, storing, reusing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_settings import tiny, without_times
from torch import nn
from typer.testing import CliRunner

import initbench
from initbench import Config, RunResult, SchemeError, StoreError, UsageError, make_config
from initbench import identity as identities
from initbench.cli.app import app
from initbench.events import EpochDone, Event, Initializing, Notice, Planned, RunDone, SignalsMeasured
from initbench.models import ModelOptions, models, register_model
from initbench.results import DatasetInfo
from initbench.store import Store
from initbench.work import Engine, executing


def weights_hash(result: RunResult) -> str:
    assert result.run_dir
    return hashlib.sha256((Path(result.run_dir) / "weights.safetensors").read_bytes()).hexdigest()


def test_a_run_leaves_everything_in_its_folder() -> None:
    result = initbench.run(tiny(seed=3))
    folder = Path(result.run_dir or "")
    assert sorted(file.name for file in folder.iterdir()) == [
        "SHA256SUMS", "config.yaml", "environment.json", "identity.json", "metrics.jsonl", "result.json",
        "weights.safetensors",
    ]  # fmt: skip
    assert initbench.load_config(folder / "config.yaml") == make_config(tiny(seed=3))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"phase": "training", **row.model_dump()} for row in result.history]
    assert [row["epoch"] for row in rows] == [1, 2]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] == 1
    assert environment["cpu"]
    assert set(environment["git"] or {"commit", "dirty"}) == {"commit", "dirty"}
    assert result.test_accuracy == result.history[-1].test_accuracy
    assert result.parameters == 784 * 16 + 16 + 16 * 10 + 10
    assert result.dataset.name == "digits"
    assert result.dataset.stand_in_for is None


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    first = initbench.run(tiny(seed=1))
    before = weights_hash(first)
    again = initbench.run(tiny(seed=1), fresh=True)
    other = initbench.run(tiny(seed=2))
    assert weights_hash(again) == before
    assert weights_hash(other) != before
    assert [row.train_loss for row in again.history] == [row.train_loss for row in first.history]


def test_a_finished_run_is_not_trained_again_unless_fresh() -> None:
    events: list[Event] = []
    first = initbench.run(tiny())
    again = initbench.run(tiny(), emit=events.append)
    assert again == first
    assert [event.reused for event in events if isinstance(event, RunDone)] == [True]
    assert not any(isinstance(event, EpochDone) for event in events)
    events.clear()
    initbench.run(tiny(), fresh=True, emit=events.append)
    assert sum(isinstance(event, EpochDone) for event in events) == 2


def test_without_a_runs_folder_nothing_is_written(tmp_path: Path) -> None:
    result = initbench.run(tiny(), runs_dir=None)
    assert result.run_dir is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_does_not_touch_torchs_global_state() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    initbench.run(tiny(model={"dropout": 0.2}), runs_dir=None)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


INFO = DatasetInfo(name="mnist", stand_in_for=None, train_size=9, test_size=9, sha256="a" * 64)


def identity(config: Config, dataset: DatasetInfo = INFO, device: str = "cpu", engine: Engine = "sequential") -> str:
    return identities.identity_of(config, dataset, device, engine).run_id


@pytest.mark.parametrize(
    "overrides",
    [["seed=1"], ["init.scheme=he"], ["init.scheme=xavier:gain=2"], ["init.bias=zeros"], ["train.lr=0.1"],
     ["train.epochs=3"], ["train.threads=2"], ["data.batch_size=50"], ["data.eval_scale=255"],
     ["model.hidden=[8]"], ["model.activation=tanh"], ["train.schedule=cosine"], ["train.signals=1"],
     ["train.precision=bfloat16"]],
    ids=str,
)  # fmt: skip
def test_what_determines_the_numbers_changes_the_identity(overrides: list[str]) -> None:
    assert identity(make_config({})) != identity(make_config({}, overrides))


def test_data_device_engine_and_versions_change_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config({})
    base = identity(config)
    assert identity(config, device="cuda") != base
    assert identity(config, engine="stacked") != base
    assert identity(config, INFO.model_copy(update={"sha256": "b" * 64})) != base
    assert identity(config, INFO.model_copy(update={"name": "digits", "stand_in_for": "mnist"})) != base
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "9.9")
        assert identity(config) != base
    monkeypatch.setattr(identities, "package_revision", lambda: "edited code")
    assert identity(config) != base


@pytest.mark.parametrize(
    "overrides",
    [
        ["name=mine"],
        ["device=cpu"],
        ["data.fallback=none"],
        ["init.scheme=glorot_uniform"],
        ["data.limit=60000"],
        ["train.lr=1e-3"],
        ["inspect.samples=3"],
        ["train.engine=sequential"],
        ["inspect={schemes: [he, zeros], input: gaussian, shape: [1, 1, 100]}"],
    ],
    ids=str,
)
def test_what_does_not_determine_the_numbers_keeps_the_identity(overrides: list[str]) -> None:
    assert identity(make_config({})) == identity(make_config({}, overrides))


def test_compare_pairs_by_seed_and_reports_every_scheme() -> None:
    comparison = initbench.compare(["xavier", "he", "zeros"], config=tiny(init={"bias": "zeros"}), seeds=3)
    assert [row.scheme for row in comparison.schemes] == ["xavier", "he", "zeros"]
    assert all([run.seed for run in row.runs] == [0, 1, 2] for row in comparison.schemes)
    assert [(pair.a, pair.b, pair.n) for pair in comparison.pairs] == [
        ("he", "xavier", 3),
        ("zeros", "xavier", 3),
        ("zeros", "he", 3),
    ]
    xavier, he, _ = comparison.schemes
    differences = [a.test_accuracy - b.test_accuracy for a, b in zip(he.runs, xavier.runs, strict=True)]  # type: ignore[operator]
    assert comparison.pairs[0].difference == pytest.approx(sum(differences) / 3, abs=1e-12)
    assert comparison.reused == 0


def test_compare_gives_the_same_numbers_in_any_order_of_schemes_and_seeds() -> None:
    forth = initbench.compare(["xavier", "he", "normal"], config=tiny(), seeds=[0, 1, 2], runs_dir=None)
    back = initbench.compare(["normal", "he", "xavier"], config=tiny(), seeds=[2, 0, 1], runs_dir=None)
    assert without_times(forth)["schemes"] == without_times(back)["schemes"]
    mirrored = {(pair.b, pair.a): pair for pair in back.pairs}
    for pair in forth.pairs:
        other = mirrored[pair.a, pair.b]
        assert (pair.difference, pair.ci_low, pair.ci_high) == (-other.difference, -other.ci_high, -other.ci_low)  # type: ignore[operator]
        assert (pair.p_value, pair.p_holm) == (other.p_value, other.p_holm)


def test_a_run_has_the_same_numbers_alone_and_in_company() -> None:
    alone = initbench.run(tiny(seed=1, init="he"), runs_dir=None)
    comparison = initbench.compare(["xavier", "he"], config=tiny(), seeds=2, runs_dir=None)
    assert comparison.schemes[1].runs[1].test_accuracy == alone.test_accuracy
    assert comparison.schemes[1].runs[1].run_id == alone.run_id


@pytest.mark.usefixtures("forked_workers")
def test_worker_processes_give_the_same_bits(tmp_path: Path) -> None:
    def everything(runs_dir: Path) -> dict[str, str]:
        return {
            file.name: hashlib.sha256((file / "weights.safetensors").read_bytes()).hexdigest()
            for file in runs_dir.glob("[!.]*")
            if file.is_dir()
        }

    def signals(events: list[Event]) -> dict[tuple[str, int, int], str]:
        told = [event for event in events if isinstance(event, SignalsMeasured)]
        return {(event.label, event.seed, event.row.epoch): event.row.model_dump_json() for event in told}

    alone, events, config = list[Event](), list[Event](), tiny(train={"signals": 1})
    one = initbench.compare(["xavier", "he"], config=config, seeds=2, runs_dir=tmp_path / "one", emit=alone.append)
    two = initbench.compare(
        ["xavier", "he"], config=config, seeds=2, runs_dir=tmp_path / "two", jobs=2, emit=events.append
    )
    assert without_times(one) == without_times(two)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")
    assert sum(isinstance(event, EpochDone) for event in events) == 2 * 2 * 2
    assert signals(alone) == signals(events)
    assert len(signals(events)) == 2 * 2 * 3


def test_what_a_reused_run_says_of_itself_is_what_was_asked_for() -> None:
    initbench.run(tiny(name="first"))
    again = initbench.run(tiny(name="second"))
    assert again.config["name"] == "second"
    fresh = initbench.run(tiny(name="third"), fresh=True)
    assert [path.name for path in Path("runs").glob("[!.]*")] == [Path(fresh.run_dir or "").name]


def test_a_comparison_says_what_its_runs_share() -> None:
    config = initbench.compare(["he"], config=tiny(seed=3), seeds=1, runs_dir=None).config
    assert (config["init"]["scheme"], config["seed"]) == (None, None)
    assert config["train"]["epochs"] == 2


def test_compare_reuses_runs_whatever_name_the_scheme_had_then() -> None:
    initbench.run(tiny(seed=1, init="glorot_uniform"))
    events: list[Event] = []
    comparison = initbench.compare(["xavier", "he"], config=tiny(), seeds=2, emit=events.append)
    assert comparison.reused == 1
    [planned] = [event for event in events if isinstance(event, Planned)]
    assert (planned.runs, planned.reused) == (4, 1)
    assert initbench.compare(["he", "xavier"], config=tiny(), seeds=2).reused == 4


@pytest.mark.parametrize(
    ("schemes_", "seeds", "message"),
    [
        (["he", "he"], 2, "'he' and 'he' are the same scheme"),
        (["he", "he:gain=auto"], 2, "'he' and 'he:gain=auto' are the same on this model"),
        (["xavier", "glorot_uniform"], 2, "'xavier' and 'glorot_uniform' are the same scheme"),
        (["normal", "normal:std=1"], 2, "'normal' and 'normal:std=1' are the same scheme"),
        ([], 2, "no schemes given"),
        (["xavier"], [], "one seed or more"),
        (["xavier"], [1, 1], "each once"),
        (["xavier"], 0, "one seed or more"),
        (["xavier", "dirac"], 2, "'dirac' fills tensors"),
        (["xavier", "nosuch"], 2, "unknown scheme 'nosuch'"),
    ],
)
def test_wrong_comparisons_are_refused_before_any_training(
    schemes_: list[str], seeds: int | list[int], message: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    with pytest.raises(UsageError) as caught:
        initbench.compare(schemes_, config=tiny(), seeds=seeds, emit=events.append)
    assert message in str(caught.value)
    assert events == []
    assert list(tmp_path.iterdir()) == []


def test_the_stand_in_is_named_everywhere() -> None:
    events: list[Event] = []
    result = initbench.run(tiny(data={"name": "mnist"}), emit=events.append)
    assert (result.dataset.name, result.dataset.stand_in_for) == ("digits", "mnist")
    assert any(isinstance(event, Notice) and "stands in" in event.text for event in events)
    asked_for = initbench.run(tiny())
    assert asked_for.dataset.stand_in_for is None
    assert asked_for.run_id != result.run_id


def test_by_default_a_notice_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="digits stands in"):
        initbench.run(tiny(data={"name": "mnist"}), runs_dir=None)


def test_no_fallback_is_an_error_with_remedies() -> None:
    with pytest.raises(initbench.DataError) as caught:
        initbench.run(tiny(data={"name": "mnist", "fallback": "none"}))
    for remedy in ("initbench data fetch mnist", "data.fallback=digits", "data.name=digits"):
        assert remedy in str(caught.value)


def test_divergence_is_a_result() -> None:
    comparison = initbench.compare(["xavier", "normal:std=1e30"], config=tiny(), seeds=2)
    assert [row.diverged for row in comparison.schemes] == [0, 2]
    assert comparison.schemes[1].mean is None
    assert [run.status for run in comparison.schemes[1].runs] == ["diverged", "diverged"]
    assert initbench.compare(["normal:std=1e30"], config=tiny(), seeds=1).reused == 1


@pytest.fixture
def broken_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that torch cannot compute with in training, and only there."""
    monkeypatch.setattr(models, "_items", dict(models._items))

    class OutOfMemory(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise torch.OutOfMemoryError("tried to allocate 1 PiB")
            return super().forward(x)

    register_model("huge", ModelOptions)(
        lambda options, shape, classes: OutOfMemory(nn.Flatten(), nn.Linear(784, classes))
    )


@pytest.mark.usefixtures("broken_model")
def test_a_run_that_torch_cannot_finish_is_recorded_as_failed_and_tried_again() -> None:
    with pytest.warns(UserWarning, match="tried to allocate 1 PiB; it is tried once more"):
        result = initbench.run({**tiny(), "model": "huge"})
    assert (result.status, result.test_accuracy, result.parameters) == ("failed", None, 7_850)
    assert result.error == "OutOfMemoryError: tried to allocate 1 PiB"
    folder = Path(result.run_dir or "")
    assert RunResult.model_validate_json((folder / "result.json").read_text()) == result
    assert "OutOfMemoryError" in (folder / "traceback.txt").read_text()
    events: list[Event] = []
    initbench.run({**tiny(), "model": "huge"}, emit=events.append)
    assert [event.reused for event in events if isinstance(event, RunDone)] == [False]


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:

    def buggy(*arguments: Any, **options: Any) -> None:
        raise NotImplementedError("a bug")

    monkeypatch.setattr(executing, "train", buggy)
    with pytest.raises(NotImplementedError, match="a bug"):
        initbench.run(tiny())
    assert [path.name for path in (tmp_path / "runs").glob("[!.]*")] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {"batch_size": 300, "limit": None}, "train": {}}, None),
        ({"data": {"batch_size": 5_000, "limit": None}}, "leaves no batch of the 1438 training images"),
        ({"data": {"batch_size": 199, "drop_last": False}, "model": {"norm": "batch"}}, "batch of one image"),
    ],
    ids=str,
)
def test_batches_that_the_data_cannot_fill(settings: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert initbench.run(tiny(**settings), runs_dir=None).status == "done"
        return
    with pytest.raises(UsageError) as caught:
        initbench.run(tiny(**settings), runs_dir=None)
    assert message in str(caught.value)


def test_the_public_names_are_all_there() -> None:
    for name in initbench.__all__:
        assert getattr(initbench, name) is not None
    with pytest.raises(AttributeError, match="nosuch"):
        _ = initbench.nosuch


def test_an_unfit_scheme_is_one_line_before_any_training() -> None:
    with pytest.raises(SchemeError, match="scheme 'irnn' does not fit this model: it is for recurrent networks"):
        initbench.compare(["xavier", "irnn"], config=tiny(), seeds=1, emit=forbid_training)
    assert not Path("runs").exists()


def forbid_training(event: Event) -> None:
    assert not isinstance(event, Initializing | EpochDone)


class DrawsGlobally(nn.Module):
    """What a user may write: torch's own dropout, a parameter and a buffer that are drawn from the global generator."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.first, self.out, self.dropout = nn.Linear(pixels, 16), nn.Linear(16, classes), nn.Dropout(0.5)
        self.alpha = nn.Parameter(torch.randn(16))
        self.register_buffer("noise", torch.rand(16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(self.dropout(torch.relu(self.first(images.flatten(1)) * self.alpha + self.noise)))  # type: ignore[no-any-return]


@pytest.fixture
def own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_items", dict(models._items))
    register_model("own", ModelOptions)(lambda options, shape, classes: DrawsGlobally(shape[1] * shape[2], classes))


@pytest.mark.usefixtures("own_model")
def test_a_model_that_draws_from_the_global_generator_repeats_by_its_seed() -> None:
    def history(seed: int) -> list[float]:
        torch.rand(seed + 1)  # whatever was drawn before
        config = {**tiny(), "model": {"name": "own"}, "seed": seed}
        return [row.train_loss for row in initbench.run(config, runs_dir=None).history]

    first, again, other = history(0), history(0), history(1)
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda options, shape, classes: 3, "must return a torch.nn.Module with parameters to train"),
        (lambda options, shape, classes: nn.Flatten(), "must return a torch.nn.Module with parameters to train"),
        (lambda options, shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(784, 5)), "not to 10 logits"),
        (lambda options, shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), "the model cannot be built"),
    ],
    ids=["number", "no parameters", "five logits", "wrong inputs"],
)
def test_a_model_of_ones_own_that_does_not_go_together_is_one_line(
    build: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_items", dict(models._items))
    register_model("broken", ModelOptions)(build)
    with pytest.raises(UsageError, match=message) as caught:
        initbench.run({**tiny(), "model": {"name": "broken"}}, emit=forbid_training)
    assert "\n" not in str(caught.value)


RECORDED = tiny(train={"signals": 1})


def test_recorded_signals_are_in_the_folder_and_told_and_change_no_number() -> None:
    events: list[Event] = []
    result = initbench.run(RECORDED, emit=events.append)
    told = [event for event in events if isinstance(event, SignalsMeasured)]
    assert [event.row.epoch for event in told] == [0, 1, 2]
    assert {(event.run_id, event.label, event.seed) for event in told} == {(result.run_id, "xavier_uniform", 0)}
    assert [layer.name for layer in told[0].row.layers] == ["fc1", "out"]
    assert Store(Path("runs")).signals(result) == [event.row for event in told]
    lines = (Path(result.run_dir or "") / "metrics.jsonl").read_text().splitlines()
    phases = [json.loads(line)["phase"] for line in lines]
    assert phases == ["signals", "training", "signals", "training", "signals"]
    plain = initbench.run(tiny())
    assert plain.run_id != result.run_id
    assert weights_hash(plain) == weights_hash(result)
    assert [row.train_loss for row in plain.history] == [row.train_loss for row in result.history]
    assert Store(Path("runs")).signals(plain) == []


def test_a_reused_run_has_its_signals_in_the_folder_only() -> None:
    first, events = initbench.run(RECORDED), list[Event]()
    again = initbench.run(RECORDED, emit=events.append)
    assert again.run_id == first.run_id
    assert not any(isinstance(event, SignalsMeasured) for event in events)
    assert len(Store(Path("runs")).signals(again)) == 3


def test_without_a_runs_folder_signals_are_told_only() -> None:
    events: list[Event] = []
    result = initbench.run(RECORDED, runs_dir=None, emit=events.append)
    assert sum(isinstance(event, SignalsMeasured) for event in events) == 3
    with pytest.raises(StoreError, match="was not stored"):
        Store(Path("runs")).signals(result)


def test_a_run_whose_signals_cannot_be_measured_is_a_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from initbench.signals import measure as measuring

    def refuse(*_: Any, **__: Any) -> None:
        raise UsageError("no layer with a weight")

    monkeypatch.setattr(measuring, "measure", refuse)
    result = initbench.run(RECORDED)
    assert (result.status, result.error) == ("done", None)
    assert {row.problem for row in Store(Path("runs")).signals(result)} == {"no layer with a weight"}


def test_show_prints_and_draws_the_signals() -> None:
    result = initbench.run(RECORDED)
    shown = CliRunner().invoke(app, ["runs", "show", result.run_id, "--plot", "signals.svg"])
    assert shown.exit_code == 0, shown.output
    before, _, after = shown.stdout.partition("test accuracy ")
    assert "train loss" in before
    assert "fc1" in after
    assert "out" in after
    assert Path("signals.svg").stat().st_size > 1_000
    document = CliRunner().invoke(app, ["runs", "show", result.run_id, "--format", "json"])
    assert RunResult.model_validate_json(document.stdout) == result


def test_show_draws_nothing_for_a_run_without_signals() -> None:
    result = initbench.run(tiny())
    error = CliRunner().invoke(app, ["runs", "show", result.run_id, "--plot", "signals.png"]).exception
    assert isinstance(error, UsageError)
    assert "`--set train.signals=1`" in str(error)
    assert not Path("signals.png").exists()
    shown = CliRunner().invoke(app, ["runs", "show", result.run_id])
    assert shown.exit_code == 0
    assert "fc1" not in shown.stdout


def test_show_shows_a_run_whose_signals_are_broken() -> None:
    result = initbench.run(RECORDED)
    (Path(result.run_dir or "") / "metrics.jsonl").write_text("{")
    shown = CliRunner().invoke(app, ["runs", "show", result.run_id])
    assert shown.exit_code == 0
    assert "test accuracy" in shown.stdout
    assert "The signals of this run cannot be read" in shown.stderr
