"""Plan runs, execute them, store them, compare them: the public `run` and `compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from initbench import events
from initbench.config import Config, ConfigLike, make_config, resolve_config
from initbench.errors import UsageError
from initbench.events import Emit
from initbench.execution import How, prepare
from initbench.results import Comparison, RunResult
from initbench.schemes import distinct, parse
from initbench.summary import summarize

TARGET_ACCURACY = 0.97  # what an MLP reaches on MNIST within a few epochs
DEFAULT_RUNS_DIR = "runs"


def run(
    config: ConfigLike = None,
    *,
    runs_dir: str | Path | None = DEFAULT_RUNS_DIR,
    data_dir: str | Path | None = None,
    fresh: bool = False,
    emit: Emit = events.warn,
) -> RunResult:
    """Train one config with its seed and return the result; a run that `runs_dir` holds already is returned as it is.

    `config` is a Config, a mapping, the path of a YAML file, or None for the defaults. `fresh` trains in any case;
    `runs_dir=None` stores nothing. `emit` hears of all that happens; by default notices become Python warnings.
    Raises InitbenchError's children; a diverged run is a result, not an error.
    """
    resolved = resolve_config(config)
    label = parse(resolved.init.scheme).label
    [done] = prepare({label: [resolved]}, How(runs_dir, data_dir, fresh, emit)).executed()
    return done.result


def compare(
    schemes: Sequence[str],
    *,
    config: ConfigLike = None,
    seeds: int | Sequence[int] = 10,
    jobs: int = 1,
    executor: str = "auto",
    ray_address: str | None = None,
    stack: int | None = None,
    target_accuracy: float = TARGET_ACCURACY,
    runs_dir: str | Path | None = DEFAULT_RUNS_DIR,
    data_dir: str | Path | None = None,
    fresh: bool = False,
    emit: Emit = events.warn,
) -> Comparison:
    """Train every scheme on the same seeds and compare them pair by pair.

    `seeds` is a number of seeds, counted up from the config's, or the seeds themselves. `jobs` workers share the work:
    processes here, or on a Ray cluster with `executor="ray"` (one of its own, or that at `ray_address`); the numbers do
    not depend on it (with worker processes, the calling script needs the usual `if __name__ == "__main__"`). With
    `train.engine: stacked` at most `stack` replicas are trained as one computation. Runs that `runs_dir` holds already
    are not trained again, unless `fresh`.
    Raises UsageError for unknown or equal schemes, and SchemeError, before any training, for one that does not fit.
    """
    if not 0 <= target_accuracy <= 1:
        raise UsageError(f"target_accuracy={target_accuracy}: give a fraction from 0 to 1.")
    how = How(runs_dir, data_dir, fresh, emit, jobs, executor, ray_address, stack)
    base = resolve_config(config)
    prepared = prepare(_configs(schemes, base, seeds), how)
    results: dict[str, list[RunResult]] = {job.label: [] for job in prepared.jobs}
    reused = 0
    for label, result, was_there in prepared.executed():
        results[label].append(result)
        reused += was_there
    return summarize(results, config=_shared(base), target_accuracy=target_accuracy, reused=reused)


def train_shard(
    schemes: Sequence[str],
    *,
    shard: tuple[int, int],
    config: ConfigLike = None,
    seeds: int | Sequence[int] = 10,
    jobs: int = 1,
    executor: str = "auto",
    ray_address: str | None = None,
    stack: int | None = None,
    runs_dir: str | Path = DEFAULT_RUNS_DIR,
    data_dir: str | Path | None = None,
    fresh: bool = False,
    emit: Emit = events.warn,
) -> list[RunResult]:
    """Train and store the runs of `shard` (k, n), the k-th of n parts of what `compare` would train, and return them.

    The parts are blocks of the runs seed by seed, as even as can be. Where all of them are in one runs folder (`runs
    merge` puts them there), `compare` finds every run. Raises what `compare` raises.
    """
    how = How(runs_dir, data_dir, fresh, emit, jobs, executor, ray_address, stack, shard)
    return [done.result for done in prepare(_configs(schemes, resolve_config(config), seeds), how).executed()]


def expect(
    schemes: Sequence[str],
    *,
    config: ConfigLike = None,
    seeds: int | Sequence[int] = 10,
    jobs: int = 1,
    executor: str = "auto",
    ray_address: str | None = None,
    stack: int | None = None,
    shard: tuple[int, int] | None = None,
    runs_dir: str | Path | None = DEFAULT_RUNS_DIR,
    data_dir: str | Path | None = None,
    fresh: bool = False,
    emit: Emit = events.warn,
) -> events.Planned:
    """Return what `compare`, or `train_shard`, would execute and how long it would take; only a calibration is trained.

    Raises what `compare` raises.
    """
    how = How(runs_dir, data_dir, fresh, emit, jobs, executor, ray_address, stack, shard)
    return prepare(_configs(schemes, resolve_config(config), seeds), how).planned(calibrate=True)


def _configs(schemes: Sequence[str], base: Config, seeds: int | Sequence[int]) -> dict[str, list[Config]]:
    """Return for each scheme its configs, one a seed."""
    if isinstance(schemes, str):
        raise UsageError(f"schemes is the text {schemes!r}; give a list, such as {schemes.split(',')!r}.")
    chosen = _chosen_seeds(base.seed, seeds)
    return {label: [_variant(base, label, seed) for seed in chosen] for label in distinct(schemes)}


def _chosen_seeds(first: int, seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) != len(chosen):
        raise UsageError(f"seeds: {seeds!r} given; a comparison needs one seed or more, each once.")
    return chosen


def _variant(base: Config, scheme: str, seed: int) -> Config:
    values = base.to_dict()
    return make_config({**values, "init": {**values["init"], "scheme": scheme}, "seed": seed})


def _shared(base: Config) -> dict[str, Any]:
    """Return what the runs of a comparison have in common: the config without its scheme and seed."""
    settings = base.to_dict()
    return {**settings, "init": {**settings["init"], "scheme": None}, "seed": None}
