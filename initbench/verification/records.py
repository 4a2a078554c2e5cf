"""Check a run's records against each other: config.yaml, identity.json and metrics.jsonl against its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from initbench.config import Config, load_config
from initbench.errors import ConfigError
from initbench.identity import Identity, changes, schemes_of, settings_of
from initbench.provenance import Check
from initbench.results import EpochRow, PretrainingRow, RunResult, SignalRow
from initbench.schemes import parse
from initbench.store.opening import read_file
from initbench.store.reading import first_problem
from initbench.store.strict_json import NotJSONError, parse_json
from initbench.verification.checks import failed, not_checked, ok
from initbench.verification.files import reason_of

ROWS: dict[str, type[EpochRow] | type[PretrainingRow] | type[SignalRow]] = {  # by their phase
    "training": EpochRow, "pretraining": PretrainingRow, "signals": SignalRow,
}  # fmt: skip


def check_config(folder: Path, result: RunResult, config: Config | ConfigError, *, whole: bool) -> Check:
    """Check that config.yaml is the result's config, which belongs to its scheme, its seed and its identity.

    A config that cannot be read here is damaged, unless the files are `whole`: then it is of another version of
    initbench, or names a scheme or model of the user's own.
    """
    try:
        read_file(folder / "config.yaml")  # and no link or pipe
        written = load_config(folder / "config.yaml")
    except OSError as error:
        return failed("config", f"config.yaml: {error.strerror}")
    except ConfigError as error:
        return (not_checked if whole else failed)("config", f"config.yaml cannot be read: {first_line(error, folder)}")
    if isinstance(config, ConfigError):
        reason = f"the config in result.json cannot be read: {first_line(config, folder)}"
        return (not_checked if whole else failed)("config", reason)
    if written != config:
        problem = "; ".join(changes(config.to_dict(), written.to_dict()))
        return failed("config", f"config.yaml is not the config in result.json: {problem}")
    if (result.seed, result.scheme) != (config.seed, parse(config.init.scheme).label):
        return failed("config", "seed and scheme of the result are not those of its config")
    return _belongs_to_identity(folder, config)


def first_line(error: ConfigError, folder: Path) -> str:
    """Return the first problem of a config, without the folder that it is in."""
    return str(error).splitlines()[0].removeprefix(f"{folder}/")


def _belongs_to_identity(folder: Path, config: Config) -> Check:
    """Compare the settings that the identity has; a later initbench may know of more."""
    parts = read_parts(folder)
    if isinstance(parts, str):
        return ok("config", "identity.json was not compared")
    settings, schemes = parts.get("config"), _without_code(parts.get("schemes"))
    found = changes(settings, _restricted(settings_of(config), settings), "config")
    found += changes(schemes, _restricted(_without_code(schemes_of(config)), schemes), "schemes")
    return failed("config", f"it is not the config of identity.json: {'; '.join(found)}") if found else ok("config")


def _restricted(settings: Any, known: Any) -> Any:
    """Return those of the settings whose names are in `known`."""
    if isinstance(settings, Mapping) and isinstance(known, Mapping):
        return {key: _restricted(settings[key], known[key]) for key in known if key in settings}
    return settings


def _without_code(schemes: Any) -> Any:
    """Return the schemes of an identity, [name, parameters, revision] each, as a mapping without the revisions."""
    if not isinstance(schemes, list) or not all(map(_is_scheme, schemes)):
        return schemes
    return {f"scheme {number}": {"name": name, **parameters} for number, (name, parameters, _) in enumerate(schemes, 1)}


def _is_scheme(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[1], dict)


def check_identity(folder: Path, result: RunResult, *, expected: bool) -> Check:
    """Check that identity.json hashes to the id of the result and the folder, and is of its dataset and device."""
    parts = read_parts(folder)
    if isinstance(parts, str):
        missing = not expected and not (folder / "identity.json").exists()
        why = "there is no identity.json: this run was stored by an older initbench"
        return not_checked("identity", why) if missing else failed("identity", f"identity.json: {parts}")
    run_id = Identity.of(parts).run_id
    if run_id != result.run_id:
        return failed("identity", f"identity.json hashes to {run_id}, the result is of {result.run_id}")
    if folder.name[-16:] != run_id:
        return failed("identity", f"the folder's name does not end in the run's id, {run_id}")
    data = result.dataset
    if parts.get("dataset") != [data.name, data.stand_in_for, data.sha256]:
        return failed("identity", "identity.json is of another dataset than the result")
    if parts.get("device") != result.device.partition(":")[0]:
        return failed("identity", "identity.json is of another type of device than the result")
    return ok("identity")


def read_parts(folder: Path) -> dict[str, Any] | str:
    """Return the parts of the identity in a run's folder, or why they cannot be read."""
    try:
        parts = parse_json(read_file(folder / "identity.json"))
        Identity.of(parts)
    except (OSError, ValueError) as error:
        return reason_of(error)
    return parts if isinstance(parts, dict) else "no JSON object"


def check_metrics(folder: Path, result: RunResult) -> Check:
    """Check that metrics.jsonl has the rows of the result, in whole lines, and each epoch once."""
    try:
        content = read_file(folder / "metrics.jsonl")
        rows = [_row(number, line) for number, line in enumerate(content.splitlines(), 1)]
    except (OSError, ValueError) as error:
        return failed("metrics", f"metrics.jsonl: {reason_of(error)}")
    if content and not content.endswith(b"\n"):
        return failed("metrics", "metrics.jsonl: its last line is cut")
    if tuple(row for row in rows if isinstance(row, EpochRow)) != result.history:
        return failed("metrics", "metrics.jsonl has other epochs than the history in result.json")
    if tuple(row for row in rows if isinstance(row, PretrainingRow)) != result.pretraining:
        return failed("metrics", "metrics.jsonl has other pre-training rows than result.json")
    return _check_history(result)


def _row(number: int, line: bytes) -> EpochRow | PretrainingRow | SignalRow:
    """Return one line as the row it is; raises ValueError."""
    try:
        row = parse_json(line)
        return ROWS[row.pop("phase")].model_validate(row)
    except ValidationError as error:
        raise ValueError(f"line {number}: {first_problem(error)}") from None
    except NotJSONError as error:
        raise ValueError(f"line {number}: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"line {number} is no row of a run's metrics") from None


def _check_history(result: RunResult) -> Check:
    epochs = [row.epoch for row in result.history]
    if epochs != list(range(1, len(epochs) + 1)):
        return failed("metrics", "the epochs of the history do not count up from 1, each once")
    last = result.history[-1].test_accuracy if result.history else None
    planned = result.config.get("train", {}).get("epochs")
    if result.status == "done" and (result.test_accuracy != last or len(epochs) != planned):
        return failed("metrics", "the result is not that of the last epoch that its config asks for")
    return ok("metrics")
