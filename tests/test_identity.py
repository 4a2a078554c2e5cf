"""A run's identity: the formula of its id, what its folder says of it, and why one run is not another."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_settings import tiny

import initbench
from initbench import make_config
from initbench.identity import Identity, changes, differences, identity_of
from initbench.merging import merge
from initbench.results import DatasetInfo
from initbench.revision import package_revision
from initbench.store import Store

INFO = DatasetInfo(name="mnist", stand_in_for=None, train_size=9, test_size=9, sha256="a" * 64)


def parts_of(overrides: list[str] | None = None, **facts: Any) -> dict[str, Any]:
    return {**identity_of(make_config({}, overrides or []), INFO, "cpu", "sequential").parts, **facts}


def test_the_id_is_the_hash_of_the_written_out_parts() -> None:
    """The formula by itself: ids of stored runs must stay what they are."""
    config = make_config({"init": {"bias": "zeros", "layers": {"out": "zeros"}}, "seed": 3})
    parts = {
        "schema_version": 1,
        "code": package_revision(),
        "torch": torch.__version__,
        "device": "cpu",
        "dataset": ["mnist", None, "a" * 64],
        "engine": "sequential",
        "config": {
            "seed": 3,
            "model": {
                "name": "mlp", "hidden": [256, 256], "activation": "relu", "dropout": 0.0, "norm": "none",
                "residual": False, "bias": True,
            },
            "init": {"bias": 0.0, "layers": ["out"]},
            "data": {"batch_size": 100, "drop_last": True, "eval_scale": 1.0},
            "train": {
                "epochs": 15, "optimizer": "adam", "lr": 0.001, "momentum": 0.0, "nesterov": False,
                "betas": [0.9, 0.999], "weight_decay": 0.0, "schedule": "constant", "clip_norm": None, "threads": 1,
                "precision": "float32", "signals": 0,
            },
        },
        "schemes": [["xavier_uniform", {"gain": 1.0}, None], ["zeros", {}, None]],
        "own_model": None,
    }  # fmt: skip
    identity = identity_of(config, INFO, "cpu", "sequential")
    assert identity.parts == parts
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    assert identity.run_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_it_survives_a_pickle_and_two_of_the_same_parts_are_equal() -> None:
    identity = identity_of(make_config({}), INFO, "cpu", "sequential")
    assert pickle.loads(pickle.dumps(identity)) == identity == Identity.of(identity.parts)  # noqa: S301 # our own
    assert hash(Identity.of(identity.parts)) == hash(identity)
    assert Identity.of({"lr": 1}) != Identity.of({"lr": 1.0})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()])
def test_what_json_does_not_have_is_refused(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        Identity.of({"part": bad})


FORMULA = """
import hashlib, json
parts = json.load(open("identity.json"))
text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
print(hashlib.sha256(text.encode()).hexdigest()[:16])
"""


def test_a_folder_can_be_checked_without_initbench() -> None:
    """By the formula of the module's docstring, and by coreutils; also after a merge, and of a run that failed."""
    result = initbench.run(tiny())
    merged = merge([Path("runs")], Store(Path("merged"))).runs
    [path] = [Path(run.run_dir or "") for run in merged]
    for folder in (Path(result.run_dir or ""), path):
        command = [sys.executable, "-I", "-c", FORMULA]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
        assert told.stdout.strip() == result.run_id == folder.name[-16:]
        checked = subprocess.run(
            ["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert checked.returncode == 0
        named = {line.partition(": ")[0] for line in checked.stdout.splitlines()}
        assert named == {file.name for file in folder.iterdir()} - {"SHA256SUMS"}


DIFFERENCES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"torch": "2.13.0"}, {"torch": "2.14.1"}, ["torch 2.13.0, now 2.14.1"]),
    ({"code": "0" * 64}, {}, ["initbench's own code has changed"]),
    ({"schema_version": 0}, {}, ["the schema of results 0, now 1"]),
    ({"device": "cuda"}, {}, ["device type cuda, now cpu"]),
    ({"engine": "stacked"}, {}, ["engine stacked, now sequential"]),
    ({"dataset": ["mnist", None, "b" * 64]}, {}, ["other bytes of dataset mnist (another data.limit?)"]),
    ({"dataset": ["digits", "mnist", "b" * 64]}, {}, ["dataset digits (in place of mnist), now mnist"]),
    ({"dataset": ["kmnist", None, "a" * 64]}, {}, ["dataset kmnist, now mnist"]),
    (parts_of(["train.lr=0.001"]), parts_of(["train.lr=0.01"]), ["train.lr 0.001, now 0.01"]),
    (parts_of(["model.hidden=[8, 8]"]), parts_of(), ["model.hidden [8, 8], now [256, 256]"]),
    (parts_of(["seed=1"]), parts_of(["train.epochs=3"]), ["seed 1, now 0", "train.epochs 15, now 3"]),
    (
        parts_of(["init.scheme=normal:std=0.1"]),
        parts_of(["init.scheme=orthogonal"]),
        ["init.scheme normal:mean=0.0:std=0.1, now orthogonal:gain=1.0"],
    ),
    (
        parts_of(["init.layers={out: zeros}"]),
        parts_of(),
        ['init.layers ["out"], now []', "init.layers, number 1: zeros, now not set"],
    ),
    ({"schemes": [["mine", {}, "1"]]}, {"schemes": [["mine", {}, "2"]]}, ["the code of your scheme mine has changed"]),
    ({"own_model": "1"}, {"own_model": "2"}, ["the code of your model has changed"]),
    ({"own_model": None}, {"own_model": "2"}, ["a model of initbench, now one of your own"]),
    ({"own_model": "1"}, {"own_model": None}, ["a model of your own, now one of initbench"]),
    ({}, {}, []),
]


@pytest.mark.parametrize(("old", "new", "told"), DIFFERENCES, ids=[str(row[2]) for row in DIFFERENCES])
def test_why_one_run_is_not_another(old: dict[str, Any], new: dict[str, Any], told: list[str]) -> None:
    assert differences(parts_of(**old), parts_of(**new)) == [line.replace('"', "'") for line in told]


def deep(levels: int = 100_000) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = {"train": value}
    return value


ODD: list[Any] = [
    None, True, 0, -1.5, float("nan"), "", "\x1b[31m\n", "x" * 100_000, [], [1], [None, None, None], [[1, 2, 3]],
    [["mine", {"a\n": "\x1b"}, None]], {}, {"train": 3}, {"a\nb": {"\x1b": 1}}, deep(), [[["x"]]], 10**5_000, object(),
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_odd_parts_are_told_of_and_no_error(odd: Any) -> None:
    """One line each, short and safe to print, whoever wrote them; and in both directions."""
    for part in (*parts_of(), "later", "\x1b[31m"):
        for old, new in (({part: odd}, {}), ({}, {part: odd}), (parts_of(**{part: odd}), parts_of())):
            for line in (*differences(old, new), *differences(new, old)):
                assert line.isprintable()
                assert len(line) < 400


@pytest.mark.parametrize("part", list(parts_of()))
def test_a_part_that_is_missing_or_new_is_named(part: str) -> None:
    without = {key: value for key, value in parts_of().items() if key != part}
    assert len(differences(without, parts_of())) == len(differences(parts_of(), without)) == 1
    assert "not set, now" in differences(without, parts_of())[0]


def test_every_pair_of_other_ids_is_explained() -> None:
    """No part of an identity can change without a word: one setting at a time, each of all."""
    base = parts_of()
    for part, value in base.items():
        for changed in variants(value):
            other = {**base, part: changed}
            assert Identity.of(other).run_id != Identity.of(base).run_id
            assert differences(base, other)


def variants(value: Any) -> list[Any]:
    """Values that differ from `value` in one place each, however deep."""
    if isinstance(value, dict):
        return [{**value, key: changed} for key, inner in value.items() for changed in variants(inner)]
    if isinstance(value, list) and value:
        return [
            [*value[:at], changed, *value[at + 1 :]] for at, inner in enumerate(value) for changed in variants(inner)
        ]
    return [f"other than {value}"]


def test_numbers_of_another_kind_are_other_numbers() -> None:
    assert changes({"lr": 1}, {"lr": 1.0}) == ["lr 1, now 1.0"]
    assert changes({"lr": True}, {"lr": 1}) == ["lr true, now 1"]
