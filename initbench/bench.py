"""Plan runs, execute them, store them, compare them: the public `run` and `compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from initbench import events
from initbench.config import Config, ConfigLike, make_config, resolve_config
from initbench.errors import UsageError
from initbench.events import Emit
from initbench.execute import executor_for
from initbench.plan import plan
from initbench.results import Comparison, RunResult
from initbench.schemes import distinct, parse
from initbench.store import Store
from initbench.summary import summarize
from initbench.work import Job, Places, execute_job

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
    [(_, result)] = _execute({label: [resolved]}, _places(data_dir, runs_dir), 1, fresh, emit)
    return result


def compare(
    schemes: Sequence[str],
    *,
    config: ConfigLike = None,
    seeds: int | Sequence[int] = 10,
    jobs: int = 1,
    target_accuracy: float = TARGET_ACCURACY,
    runs_dir: str | Path | None = DEFAULT_RUNS_DIR,
    data_dir: str | Path | None = None,
    fresh: bool = False,
    emit: Emit = events.warn,
) -> Comparison:
    """Train every scheme on the same seeds and compare them pair by pair.

    `seeds` is a number of seeds, counted up from the config's, or the seeds themselves. `jobs` worker processes share
    the work; the numbers do not depend on how many (with `jobs` > 1, the calling script needs the usual
    `if __name__ == "__main__"`). Runs that `runs_dir` holds already are not trained again, unless `fresh`.
    Raises UsageError for unknown or equal schemes, and SchemeError, before any training, for one that does not fit.
    """
    if jobs < 1 or not 0 <= target_accuracy <= 1:
        raise UsageError(f"jobs={jobs}, target_accuracy={target_accuracy}: give 1 or more, and a fraction from 0 to 1.")
    if isinstance(schemes, str):
        raise UsageError(f"schemes is the text {schemes!r}; give a list, such as {schemes.split(',')!r}.")
    base = resolve_config(config)
    chosen = _chosen_seeds(base.seed, seeds)
    configs = {label: [_variant(base, label, seed) for seed in chosen] for label in distinct(schemes)}
    reused: list[str] = []

    def note_reused(event: events.Event) -> None:
        if isinstance(event, events.RunDone) and event.reused:
            reused.append(event.result.run_id)
        emit(event)

    results: dict[str, list[RunResult]] = {label: [] for label in configs}
    for label, result in _execute(configs, _places(data_dir, runs_dir), jobs, fresh, note_reused):
        results[label].append(result)
    return summarize(results, config=_shared(base), target_accuracy=target_accuracy, reused=len(reused))


def _places(data_dir: str | Path | None, runs_dir: str | Path | None) -> Places:
    return Places(Path(data_dir) if data_dir else None, Path(runs_dir) if runs_dir else None)


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


def _execute(
    configs: Mapping[str, Sequence[Config]], places: Places, workers: int, fresh: bool, emit: Emit
) -> Iterator[tuple[str, RunResult]]:
    """Yield (label, result) for every config: stored ones first, then the others as they end."""
    jobs, parameters = plan(configs, places, emit)
    store = Store(places.runs_dir) if places.runs_dir else None
    stored = {job.run_id: found for job in jobs if store and not fresh and (found := store.find(job.run_id))}
    pending = [job for job in jobs if job.run_id not in stored]
    if store and pending:
        store.check_writable()
    emit(_planned(jobs, parameters, len(stored)))
    for job in jobs:
        if job.run_id in stored:
            result = stored[job.run_id].model_copy(update={"config": job.config.to_dict()})
            emit(events.RunDone(job.label, result, reused=True))
            yield job.label, result
    for job, result in executor_for(min(workers, len(pending)))(pending, execute_job, emit):
        emit(events.RunDone(job.label, result, reused=False))
        yield job.label, result


def _planned(jobs: Sequence[Job], parameters: int, reused: int) -> events.Planned:
    first = jobs[0]
    return events.Planned(
        config=first.config.to_dict(),
        device=first.device,
        dataset=first.dataset,
        parameters=parameters,
        runs=len(jobs),
        seeds=tuple(dict.fromkeys(job.config.seed for job in jobs)),
        epochs=first.config.train.epochs,
        reused=reused,
        run_dir=str(first.places.runs_dir / first.folder) if len(jobs) == 1 and first.places.runs_dir else None,
    )
