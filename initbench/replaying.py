"""Train a stored run again, in memory, and compare the bits: what a checksum cannot tell, the training tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench import events
from initbench.config import Config, make_config
from initbench.config.errors import show
from initbench.errors import ConfigError, DataError, DeviceError, UsageError
from initbench.events import Emit
from initbench.execution import How, Prepared, prepare
from initbench.identity import changes, differences
from initbench.provenance import Replayed, WeightDifference
from initbench.report.compact import counted
from initbench.results import Record, RunResult
from initbench.schemes import parse
from initbench.store.opening import read_file
from initbench.store.strict_json import parse_json
from initbench.store.weights import read_weights
from initbench.work import Finished, execute_task, tasks_of

if TYPE_CHECKING:
    from torch import Tensor

TOLD_APART = ("packages", "torch", "git", "resumed_after_epochs")  # facts of environment.json; code and torch are parts


def replay(run: RunResult, data_dir: str | Path | None = None, emit: Emit = events.warn) -> Replayed:
    """Train the config of a stored run (one with a `run_dir`) again, store nothing, and compare.

    All numbers are compared but the seconds and the recorded signals. Raises UsageError for a run that cannot be
    replayed: one that failed or was trained in a stack, or whose scheme, model or device is not here; DataError where
    its data is not; StoreError where its weights cannot be read.
    """
    folder = Path(run.run_dir) if run.run_dir else None
    if folder is None:
        raise UsageError(f"run {run.run_id} was not stored: there are no weights to compare with. Give it a runs_dir.")
    identity = _facts(folder / "identity.json")
    _check_comparable(run, identity)
    weights = read_weights(folder)
    prepared = _prepared(run, data_dir, emit)
    finished = _trained(prepared, emit)
    if finished.result.status == "failed":
        raise UsageError(f"run {run.run_id} cannot be trained here: {finished.result.error}")
    again = _state(finished)
    recorded = _facts(folder / "environment.json")
    return Replayed(
        run=run,
        again=finished.result,
        tensors=len(again),
        first=next(_differences(run, finished.result), None),
        weights=_weight_difference(weights, again),
        here=(*_other_code(identity, prepared), *_other_surroundings(recorded, finished)),
    )


def _check_comparable(run: RunResult, identity: Mapping[str, Any]) -> None:
    """Raise UsageError for a run whose bits another training cannot have."""
    if run.status == "failed":
        raise UsageError(f"run {run.run_id} failed when it was trained: there is nothing to compare with.")
    if identity.get("engine", run.config.get("train", {}).get("engine")) == "stacked":
        raise UsageError(
            f"run {run.run_id} was trained in a stack of replicas, whose size changes the last bits of the numbers: it"
            " cannot be replayed alone. Runs with train.engine=sequential can."
        )


def _facts(file: Path) -> dict[str, Any]:
    """Return what a file of facts says, nothing where it is not there or damaged: facts explain, and decide nothing."""
    try:
        facts = parse_json(read_file(file))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _prepared(run: RunResult, data_dir: str | Path | None, emit: Emit) -> Prepared:
    """Return the run ready to be trained, on the dataset and the type of device that it was trained on."""
    config = _config(run)
    label = parse(config.init.scheme).label
    try:
        prepared = prepare({label: [config]}, How(None, data_dir, fresh=True, emit=emit))
    except DeviceError as error:
        raise UsageError(f"run {run.run_id} was trained on {run.device}, which is not here.") from error
    except DataError as error:
        raise DataError(
            f"run {run.run_id} was trained on {run.dataset.name}, which cannot be had here. `initbench data fetch"
            f" {run.dataset.name}` gets it; --data-dir names a folder that has it."
        ) from error
    if prepared.plan.dataset.sha256 != run.dataset.sha256:
        raise DataError(
            f"run {run.run_id} was trained on other bytes of {run.dataset.name} than there are here (SHA-256"
            f" {run.dataset.sha256[:16]}..., here {prepared.plan.dataset.sha256[:16]}...)."
        )
    return prepared


def _config(run: RunResult) -> Config:
    """Return the run's config, with the dataset and the type of device that it led to."""
    kind = "cpu" if run.device == "cpu" else "cuda"
    try:
        return make_config(run.config, [f"device={kind}", f"data.name={run.dataset.name}", "data.fallback=none"])
    except ConfigError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"run {run.run_id}: its config cannot be used here: {reason} A scheme or model of your own needs --plugin."
        ) from error


def _trained(prepared: Prepared, emit: Emit) -> Finished:
    emit(prepared.planned(calibrate=False))
    [task] = tasks_of(prepared.jobs)
    [finished] = execute_task(task, prepared.plan.dataset, emit)
    emit(events.RunDone(task[0].label, finished.result, reused=False))
    return finished


def _state(finished: Finished) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(finished.files["weights.safetensors"])


def _differences(run: RunResult, again: RunResult) -> Iterator[str]:
    """Yield the numbers in which two trainings differ, in the order in which they came to be."""
    yield from _different_rows("pre-training epoch", run.pretraining, again.pretraining)
    yield from _different_rows("epoch", run.history, again.history)
    if run.divergence != again.divergence:
        yield f"it {_ending(run)}, now it {_ending(again)}"
    for name in ("scheme", "seed", "status", "parameters", "test_accuracy"):
        before, after = getattr(run, name), getattr(again, name)
        if before != after:
            yield f"{name.replace('_', ' ')}: {before!r}, now {after!r}"


def _ending(run: RunResult) -> str:
    where = run.divergence
    return f"diverged in epoch {where.epoch}, step {where.step}" if where else "did not diverge"


def _different_rows(noun: str, rows: tuple[Record, ...], again: tuple[Record, ...]) -> Iterator[str]:
    for number, (old, new) in enumerate(zip(rows, again, strict=False), 1):
        before, after = old.model_dump(exclude={"seconds"}), new.model_dump(exclude={"seconds"})
        for name, value in before.items():
            if value != after[name]:
                yield f"{noun} {number}, {name.replace('_', ' ')}: {value!r}, now {after[name]!r}"
    if len(rows) != len(again):
        yield f"{counted(len(rows), noun)}, now {len(again)}"


def _weight_difference(weights: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> WeightDifference | None:
    """Return where the weights differ most; None where all have the same names, types, shapes and bits."""
    for name in [*weights, *again]:
        if name not in weights or name not in again or _form(weights[name]) != _form(again[name]):
            return WeightDifference(name, None)
    different = [name for name in weights if not _same_bits(weights[name], again[name])]
    found = [WeightDifference(name, _largest(weights[name], again[name])) for name in different]
    return max(found, key=lambda one: -1.0 if one.largest is None else one.largest, default=None)


def _form(tensor: Tensor) -> tuple[object, ...]:
    return tensor.dtype, tensor.shape


def _same_bits(one: Tensor, other: Tensor) -> bool:
    import torch

    flat = one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)
    return torch.equal(*flat)  # of bytes: NaN equals itself, 0 is not -0


def _largest(one: Tensor, other: Tensor) -> float | None:
    """Return the largest absolute difference of two tensors, as float64, where both are finite."""
    distances = (one.double() - other.double()).abs()
    finite = distances[distances.isfinite()]
    return float(finite.max()) if finite.numel() else None


def _other_code(identity: Mapping[str, Any], prepared: Prepared) -> list[str]:
    """Return what is different in what determines a run's numbers; nothing where the run has no identity.json.

    That the dataset is asked for by its own name here makes no difference.
    """
    [job] = prepared.jobs
    here = {**job.identity.parts, "dataset": identity.get("dataset")}
    return differences(identity, here) if identity else []


def _other_surroundings(recorded: Mapping[str, Any], finished: Finished) -> list[str]:
    """Return which versions and which processor are others here; nothing where the run has no environment.json."""
    here = parse_json(finished.files["environment.json"])
    found = changes(_plain(recorded), _plain(here)) if recorded else []
    if interrupted := recorded.get("resumed_after_epochs"):
        found.append(f"the run was interrupted, and went on after epoch {show(interrupted).strip('[]')}")
    return found


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an environment in one level, but those that are told apart."""
    packages = facts.get("packages")
    flat = {**facts, **(packages if isinstance(packages, dict) else {})}
    return {key: value for key, value in flat.items() if key not in TOLD_APART}
