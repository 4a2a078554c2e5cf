"""Check that the dataset on this machine is the one that a run was trained on. Nothing is downloaded or set aside."""

from __future__ import annotations

from pathlib import Path

from initbench.config import Config
from initbench.data import datasets
from initbench.data.dataset import Images, Notify, fingerprint
from initbench.data.roots import places
from initbench.data.subset import limited
from initbench.errors import ConfigError, DataError
from initbench.provenance import Check
from initbench.results import RunResult
from initbench.verification.checks import failed, not_checked, ok


class DatasetsHere:
    """The datasets of this machine, each read and verified once; raises DataError where `data_dir` is not a folder."""

    def __init__(self, data_dir: Path | None, notify: Notify) -> None:
        self._roots, self._notify = places(data_dir, notify).roots, notify
        self._images: dict[str, Images | str] = {}
        self._hashes: dict[tuple[str, int | None], str] = {}

    def sha256(self, name: str, limit: int | None) -> str:
        """Return the hash of dataset `name` cut to `limit`; raises DataError where it is not here, or is damaged."""
        if name not in self._images:
            self._images[name] = self._read(name)
        images = self._images[name]
        if isinstance(images, str):
            raise DataError(images)
        if (name, limit) not in self._hashes:
            self._hashes[name, limit] = fingerprint(limited(images, limit, name))
        return self._hashes[name, limit]

    def _read(self, name: str) -> Images | str:
        """Return the images, or why there are none; only files that are all right are read, as others are set aside."""
        source = datasets[name]
        if source.find(self._roots) is None:
            return f"{name} is not on this machine"
        if any(file.status != "ok" for file in source.check(self._roots)):
            return f"{name} on this machine is damaged: `initbench data verify {name}`"
        try:
            return source.read(self._roots, self._notify) or f"{name} is not on this machine"
        except DataError as error:
            return str(error)


def check_data(result: RunResult, config: Config | ConfigError, here: DatasetsHere) -> Check:
    """Check the dataset of a run: its name is what the config leads to, its bytes are those on this machine."""
    info = result.dataset
    if isinstance(config, ConfigError):
        return not_checked("data", "the config cannot be read")
    if (info.stand_in_for or info.name) != config.data.name:
        return failed("data", f"the config asks for {config.data.name}, the result is of {info.name}")
    if info.stand_in_for and info.name != config.data.fallback:
        return failed("data", f"{info.name} is not the stand-in that the config allows, {config.data.fallback}")
    try:
        found = here.sha256(info.name, config.data.limit)
    except DataError as error:
        return not_checked("data", str(error))
    if found != info.sha256:
        return failed("data", f"{info.name} on this machine has other bytes than the run was trained on")
    return ok("data")
