"""`compare` runs with every scheme of the catalogue, on a network that it was made for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_settings import tiny

import initbench
from initbench.errors import SchemeError
from initbench.schemes import schemes

MLP: dict[str, Any] = {"model": {"hidden": [16, 16]}}
RESIDUAL: dict[str, Any] = {"model": {"hidden": [16] * 3, "residual": True}}
RNN: dict[str, Any] = {"model": {"name": "rnn", "hidden": 16}}
CNN: dict[str, Any] = {
    "model": {"name": "cnn", "channels": [4, 4], "hidden": []},
    "init": {"layers": {"out": "xavier"}},
}
MADE_FOR = {
    "dirac": CNN,
    "delta_orthogonal": CNN,
    "irnn": RNN,
    "orthogonal_recurrent": RNN,
    "fixup": RESIDUAL,
    "skipinit": RESIDUAL,
}
QUICK = {"metainit": ":steps=3", "rbm": ":epochs=2", "dbn": ":epochs=2", "sdae": ":epochs=2"}


@pytest.mark.parametrize("name", list(schemes))
def test_compare_trains_it_beside_xavier(name: str) -> None:
    settings = {"model": {}, **MADE_FOR.get(name, MLP)}
    config = {**tiny(train={"epochs": 1}), **settings}
    other = "he" if name == "xavier_uniform" else "xavier"
    comparison = initbench.compare([name + QUICK.get(name, ""), other], config=config, seeds=1, runs_dir=None)
    for scheme in comparison.schemes:
        assert (scheme.n, scheme.failed) == (1, 0)
        assert scheme.init_seconds is not None
        assert scheme.init_seconds > 0


def test_pretraining_is_in_the_result_and_in_the_runs_metrics() -> None:
    config = {**tiny(), "init": {"scheme": "dbn:epochs=2"}}
    result = initbench.run(config)
    rows = [json.loads(line) for line in (Path(result.run_dir or "") / "metrics.jsonl").read_text().splitlines()]
    assert [row["phase"] for row in rows] == ["pretraining"] * 2 + ["training"] * 2
    assert rows[:2] == [{"phase": "pretraining", **row.model_dump()} for row in result.pretraining]
    assert rows[0]["pseudo_log_likelihood"] < 0
    assert sum(row.seconds for row in result.pretraining) <= result.init_s
    assert initbench.run(config) == result  # read back from the folder


def test_a_scheme_that_fails_on_the_data_is_a_failed_run_and_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))

    @initbench.register_scheme("fragile", formula="f", source="this test", good_for="testing", needs="a batch")
    def fragile(model: Any, *, generator: Any, data: Any) -> None:
        raise SchemeError(f"{len(data)} images are too few")

    comparison = initbench.compare(["fragile", "he"], config=tiny(train={"epochs": 1}), seeds=2)
    assert [(scheme.scheme, scheme.n, scheme.failed) for scheme in comparison.schemes] == [
        ("fragile", 0, 2),
        ("he", 2, 0),
    ]
    [failed, *_] = sorted(Path("runs").glob("fragile-*/result.json"))
    assert json.loads(failed.read_text())["error"] == "SchemeError: 200 images are too few"
