"""A stored run comes out the same when it is trained again; where it does not, what differs first is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_settings import tiny
from safetensors.torch import load_file, save_file

import initbench
from initbench.errors import DataError, StoreError, UsageError
from initbench.events import EpochDone, Event, Planned, RunDone
from initbench.plugins import load_plugins
from initbench.provenance import Replayed
from initbench.replaying import replay
from initbench.results import RunResult
from initbench.schemes import schemes
from initbench.store.reading import read_run


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(initbench.run(tiny(seed=1), runs_dir=tmp_path_factory.mktemp("replayed")).run_dir or "")


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    """A copy of a stored run, to be changed."""
    return Path(shutil.copytree(stored, tmp_path / "copy" / stored.name))


def read(folder: Path) -> RunResult:
    result = read_run(folder)
    assert isinstance(result, RunResult)
    return result


def replayed(folder: Path, **how: Any) -> Replayed:
    return replay(read(folder), **how)


AGREEING = {
    "sequential": tiny(seed=3),
    "pre-training, dropout, schedule": tiny(
        init="rbm:epochs=1", model={"dropout": 0.2}, train={"epochs": 2, "schedule": "cosine", "signals": 1}
    ),
    "diverged": tiny(init="normal:std=1e30"),
    "batch normalization": tiny(model={"norm": "batch"}, train={"epochs": 1}),
}


@pytest.mark.parametrize("settings", AGREEING.values(), ids=AGREEING)
def test_a_run_comes_out_the_same(settings: dict[str, Any]) -> None:
    result = initbench.run(settings)
    before = {file: file.read_bytes() for file in Path("runs").rglob("*") if file.is_file()}
    found = replay(result)
    assert (found.agrees, found.first, found.weights, found.here) == (True, None, None, ())
    assert found.tensors == len(load_file(Path(result.run_dir or "") / "weights.safetensors"))
    assert [row.model_dump(exclude={"seconds"}) for row in found.again.history] == [
        row.model_dump(exclude={"seconds"}) for row in result.history
    ]
    assert {file: file.read_bytes() for file in Path("runs").rglob("*") if file.is_file()} == before


def test_it_tells_of_each_epoch(folder: Path) -> None:
    events: list[Event] = []
    replayed(folder, emit=events.append)
    kinds = [type(event) for event in events if isinstance(event, Planned | EpochDone | RunDone)]
    assert kinds == [Planned, EpochDone, EpochDone, RunDone]


def test_a_stand_in_is_trained_on_even_where_the_dataset_itself_is_here_now(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="digits stands in"):
        result = initbench.run(tiny(data={"name": "mnist"}))
    monkeypatch.setattr("initbench.data.idx_family.IdxFamily.read", lambda *_: pytest.fail("mnist was read"))
    assert replay(result).agrees


def edit_json(folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))


def in_epoch_2(content: dict[str, Any]) -> None:
    content["history"][1]["train_loss"] = 0.25


def other_pretraining(content: dict[str, Any]) -> None:
    content["pretraining"] = [{"layer": "fc1", "epoch": 1, "reconstruction_error": 1.0, "seconds": 1.0}]


def one_epoch_less(content: dict[str, Any]) -> None:
    content["history"].pop()


def diverged(content: dict[str, Any]) -> None:
    content.update(status="diverged", test_accuracy=None, divergence={"epoch": 3, "step": 1})


DIFFERENT: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (in_epoch_2, "epoch 2, train loss: 0.25, now "),
    (other_pretraining, "1 pre-training epoch, now 0"),
    (one_epoch_less, "1 epoch, now 2"),
    (diverged, "it diverged in epoch 3, step 1, now it did not diverge"),
    (lambda content: content.update(parameters=7), "parameters: 7, now 12730"),
    (lambda content: content.update(test_accuracy=0.99), "test accuracy: 0.99, now "),
    (lambda content: content.update(seed=77), "seed: 77, now "),
    (lambda content: content.update(scheme="he_uniform"), "scheme: 'he_uniform', now 'xavier_uniform'"),
]


@pytest.mark.parametrize(("change", "first"), DIFFERENT, ids=[row[1] for row in DIFFERENT])
def test_another_number_is_found(change: Callable[[dict[str, Any]], object], first: str, folder: Path) -> None:
    edit_json(folder, "result.json", change)
    found = replayed(folder)
    assert not found.agrees
    assert found.first is not None
    assert found.first.startswith(first)
    assert found.weights is None


def test_other_seconds_are_no_difference(folder: Path) -> None:
    edit_json(folder, "result.json", lambda content: content["history"][0].update(seconds=99.0))
    edit_json(folder, "result.json", lambda content: content.update(train_s=99.0, init_s=99.0))
    assert replayed(folder).agrees


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")


def test_one_bit_of_one_weight_is_found(folder: Path) -> None:
    def flip(weights: dict[str, torch.Tensor]) -> None:
        weights["out.bias"].view(torch.int32)[3] ^= 1

    with_weights(folder, flip)
    found = replayed(folder)
    assert (found.agrees, found.first) == (False, None)
    assert found.weights is not None
    assert found.weights.name == "out.bias"
    assert 0 < (found.weights.largest or 0) < 1e-7


def test_the_largest_difference_of_weights_is_told(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["out.bias"][3] += 0.25
        weights["fc1.weight"][2, 5] -= 0.5

    with_weights(folder, change)
    weights = replayed(folder).weights
    assert weights is not None
    assert weights.name == "fc1.weight"
    assert weights.largest == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("change", [
    lambda weights: weights.pop("out.bias"),
    lambda weights: weights.update(more=torch.zeros(1)),
    lambda weights: weights.update({"out.bias": torch.zeros(3)}),
    lambda weights: weights.update({"out.bias": weights["out.bias"].double()}),
    lambda weights: weights["out.bias"].fill_(torch.nan),
], ids=["gone", "more", "shape", "type", "NaN"])  # fmt: skip
def test_weights_of_another_kind_are_told(change: Callable[[dict[str, torch.Tensor]], object], folder: Path) -> None:
    with_weights(folder, change)
    weights = replayed(folder).weights
    assert weights is not None
    assert (weights.name in ("out.bias", "more"), weights.largest) == (True, None)


def test_minus_zero_is_not_zero_and_nan_is_itself() -> None:
    from initbench.replaying import _same_bits

    zero, nan = torch.zeros(2), torch.full((2,), torch.nan)
    assert not _same_bits(zero, -zero)
    assert _same_bits(nan, nan.clone())
    assert _same_bits(torch.tensor(3.0), torch.tensor(3.0))


def test_what_is_different_here_is_told(folder: Path) -> None:
    def older(parts: dict[str, Any]) -> None:
        parts.update(torch="2.0.0", code="0" * 64)

    def elsewhere(facts: dict[str, Any]) -> None:
        facts.update(cpu="another processor", git={"commit": "0", "dirty": True}, resumed_after_epochs=[1])
        facts["packages"].update(numpy="1.0", torch="2.0.0")

    edit_json(folder, "identity.json", older)
    edit_json(folder, "environment.json", elsewhere)
    found = replayed(folder)
    assert found.agrees
    told = [line.partition(",")[0] for line in found.here]
    assert told == [
        "torch 2.0.0", "initbench's own code has changed", "cpu another processor", "numpy 1.0",
        "the run was interrupted",
    ]  # fmt: skip
    assert found.here[-1] == "the run was interrupted, and went on after epoch 1"


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b'{"packages": 3}', b'{"a": {"b": 1}}'], ids=str)
def test_facts_that_are_damaged_decide_nothing(content: bytes | None, folder: Path) -> None:
    for file in ("identity.json", "environment.json"):
        (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    found = replayed(folder)
    assert found.agrees
    assert all(line.isprintable() for line in found.here)


def other_data(content: dict[str, Any]) -> None:
    content["dataset"]["sha256"] = "0" * 64


def no_such_scheme(content: dict[str, Any]) -> None:
    content["config"]["init"]["scheme"] = "my_own_scheme"


def gone(content: dict[str, Any]) -> None:
    content["dataset"]["name"] = content["config"]["data"]["name"] = "kmnist"


def failed(content: dict[str, Any]) -> None:
    content.update(status="failed", test_accuracy=None, error="killed")


IMPOSSIBLE: list[tuple[str, Callable[[dict[str, Any]], object], type[Exception], str]] = [
    ("result.json", other_data, DataError, "was trained on other bytes of digits than there are here"),
    ("result.json", gone, DataError, "was trained on kmnist, which cannot be had here.*initbench data fetch kmnist"),
    ("result.json", no_such_scheme, UsageError, "unknown scheme 'my_own_scheme'.*--plugin"),
    ("result.json", failed, UsageError, "failed when it was trained"),
    ("result.json", lambda one: one.update(device="cuda:0"), UsageError, "was trained on cuda:0, which is not here"),
    ("identity.json", lambda one: one.update(engine="stacked"), UsageError, "a stack of replicas, whose size changes"),
]


@pytest.mark.parametrize(("file", "change", "error", "message"), IMPOSSIBLE, ids=[row[3][:30] for row in IMPOSSIBLE])
def test_what_cannot_be_replayed_is_one_line(
    file: str,
    change: Callable[[dict[str, Any]], object],
    error: type[Exception],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit_json(folder, file, change)
    with pytest.raises(error, match=message) as caught:
        replayed(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_that_are_damaged_are_one_line(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"weights\.safetensors"):
        replayed(folder)


def test_a_run_that_was_not_stored_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="not stored"):
        replay(initbench.run(tiny(train={"epochs": 1}), runs_dir=None))


def test_a_stack_cannot_be_replayed() -> None:
    result = initbench.run(tiny(train={"engine": "stacked", "epochs": 1}))
    with pytest.raises(UsageError, match=r"train\.engine=sequential"):
        replay(result)


PLUGIN = """
from initbench import register_scheme

@register_scheme("{name}", formula="W = value", source="a test", good_for="testing")
def {name}(weight, *, generator):
    weight.fill_({value})
"""


def test_another_code_of_an_own_scheme_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    (tmp_path / "own.py").write_text(PLUGIN.format(name="halved", value=0.5))
    load_plugins([tmp_path / "own.py"])
    result = initbench.run(tiny(init="halved", train={"epochs": 1}))
    assert replay(result).agrees
    monkeypatch.setattr(schemes, "_items", {name: one for name, one in schemes._items.items() if name != "halved"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "own.py").write_text(PLUGIN.format(name="halved", value=0.25))
    load_plugins([tmp_path / "other" / "own.py"])
    found = replay(result)
    assert not found.agrees
    assert found.here == ("the code of your scheme halved has changed",)
