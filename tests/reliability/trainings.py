"""Trainings of a second at most, every part of the training state among them, and what a runs folder holds of one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import initbench
from initbench.store import Store

DIGITS: dict[str, Any] = {"name": "digits"}
MLP: dict[str, Any] = {"hidden": [32]}
# Each has something else to remember from one epoch to the next.
TRAININGS: dict[str, dict[str, Any]] = {
    "adam, dropout, cosine": {
        "model": {**MLP, "dropout": 0.3},
        "train": {"schedule": "cosine"},
    },
    "sgd, nesterov, clipped": {
        "model": MLP,
        "train": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "clip_norm": 0.5},
    },
    "rmsprop, momentum, last batch": {
        "model": MLP,
        "data": {"drop_last": False},
        "train": {"optimizer": "rmsprop", "momentum": 0.5, "lr": 0.001},
    },
    "adamw, batch norm, signals": {
        "model": {"hidden": [16], "norm": "batch"},
        "train": {"optimizer": "adamw", "weight_decay": 0.1, "signals": 2},
    },
    "cnn, batch norm": {
        "model": {"name": "cnn", "channels": [2, 4], "kernel": 3, "norm": "batch", "hidden": []},
        "data": {"limit": 300},
    },
    "pre-trained": {
        "model": {**MLP, "activation": "sigmoid"},
        "data": {"limit": 300, "batch_size": 10},
        "init": {"scheme": "rbm:epochs=3"},
    },
}


def write_config(folder: Path, *sections: dict[str, Any], epochs: int, name: str = "config.yaml") -> Path:
    """Write a config to `folder`: digits and these sections, the later ones over the earlier ones; return its path."""
    config: dict[str, Any] = {"data": DIGITS, "model": MLP}
    for given in (*sections, {"train": {"epochs": epochs}}):
        config |= {key: {**config.get(key, {}), **value} for key, value in given.items()}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config)  # JSON is YAML
    if not (folder / name).exists() or (folder / name).read_text() != text:  # another command may be reading it
        (folder / name).write_text(text)
    return folder / name


def undisturbed(config: Path, runs: Path) -> Path:
    """Train the config in this very process, where nothing interrupts it; return the run's folder."""
    return Path(initbench.run(config, runs_dir=runs).run_dir or "")


def runs_in(runs: Path) -> list[Path]:
    """Return the folders of the runs in a runs folder."""
    return sorted(path.parent for path in runs.glob("[!.]*/result.json"))


def result_in(run: Path) -> dict[str, Any]:
    """Return a run's result."""
    read: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return read


def weights_sha256(run: Path) -> str:
    """Return the hash of a run's final weights."""
    return hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()


def rows_in(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics.jsonl, but for the seconds that they took; each line must be JSON."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def numbers_of(run: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return all of a run that is the same whenever it is trained: the weights' hash, the rows."""
    return weights_sha256(run), rows_in(run)


def only_run(runs: Path) -> Path:
    """Return the one run that there is."""
    [run] = runs_in(runs)
    return run


def left_after_next_start(runs: Path) -> list[str]:
    """Return what lies in a runs folder, but for whole runs, `.lock` and empty folders, when the next training starts.

    A command that finds all of its runs there already writes nothing, and so does not sweep.
    """
    with Store(runs).stay():
        pass
    whole = set(runs_in(runs))
    beside = [path for path in runs.iterdir() if path not in whole and path.name != ".lock"]
    files = [path for top in beside for path in ([top] if not top.is_dir() else [*top.glob("**/*")])]
    partial = [path for path in beside if path.is_dir() and path.name[0] != "."]
    within = [path for run in whole for path in run.iterdir() if path.name[0] == "." or path.is_dir()]
    return sorted(str(path.relative_to(runs)) for path in [*files, *partial, *within])
