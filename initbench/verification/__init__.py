"""Check stored runs: the files of each folder, against each other and against this machine. Nothing is changed.

| check    | what must be so                                                                          |
|----------|------------------------------------------------------------------------------------------|
| files    | each file has the SHA-256 that SHA256SUMS has for it; none is missing, none came later   |
| config   | config.yaml is the config of the result, and the one that the identity was made of       |
| identity | identity.json hashes to the run's id, which ends the folder's name, and names the data   |
| data     | the dataset on this machine has the SHA-256 that the run was trained with                |
| weights  | they can be read, are finite, and have the names and shapes of the config's model        |
| metrics  | metrics.jsonl has the rows of the result's history, each epoch once                      |

This finds damage, not forgery: who changes a file can write its checksum anew. Training the run again finds more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from initbench.config import Config, make_config
from initbench.data.dataset import Notify, ignore
from initbench.errors import ConfigError
from initbench.provenance import CHECKS, Verified
from initbench.results import RunResult
from initbench.store.reading import Broken, read_run
from initbench.verification.checks import failed, not_checked
from initbench.verification.dataset import DatasetsHere, check_data
from initbench.verification.files import check_files
from initbench.verification.records import check_config, check_identity, check_metrics
from initbench.verification.weights import check_weights

__all__ = ["verify"]


def verify(folders: Iterable[Path], data_dir: Path | None = None, notify: Notify = ignore) -> Iterator[Verified]:
    """Yield what is to be said of the run in each of `folders`. Each dataset is read once, and never downloaded.

    Datasets are looked for where a run would look. Raises DataError where `data_dir` is not a folder.
    """
    datasets = DatasetsHere(data_dir, notify)
    for folder in folders:
        yield _verified(folder, datasets)


def _verified(folder: Path, datasets: DatasetsHere) -> Verified:
    files, listed = check_files(folder)
    result = read_run(folder)
    if isinstance(result, Broken):
        broken = files if files.outcome == "failed" else failed("files", result.reason)
        return Verified(
            folder, None, (broken, *(not_checked(name, "the result cannot be read") for name in CHECKS[1:]))
        )
    config = _config_of(result)
    whole = files.outcome == "ok"
    checks = (
        files,
        check_config(folder, result, config, whole=whole),
        check_identity(folder, result, expected="identity.json" in listed),
        check_data(result, config, datasets),
        check_weights(folder, result, config),
        check_metrics(folder, result),
    )
    return Verified(folder, result, checks)


def _config_of(result: RunResult) -> Config | ConfigError:
    """Return the config of a result, or why it is none here: damaged, of another version, or of a plugin's scheme."""
    try:
        return make_config(result.config)
    except ConfigError as error:
        return error
