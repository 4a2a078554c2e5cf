"""The same config and seed are the same bits: in any process, with any number of workers, in any order."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needs import needs_proc
from processes import Ended, finish, start
from trainings import TRAININGS, only_run, weights_sha256, write_config

from initbench import compare
from initbench.results import Comparison

if TYPE_CHECKING:
    from reliability.conftest import Count, Figure

pytestmark = needs_proc
SCHEMES = ["he", "xavier", "normal:std=0.5", "orthogonal"]


def test_the_same_seed_is_the_same_bits_in_every_process(tmp_path: Path, count: Count, figure: Figure) -> None:
    processes = count(3, 20)
    config = write_config(tmp_path, TRAININGS["adam, dropout, cosine"], epochs=3)
    runs = [tmp_path / f"runs-{number}" for number in range(processes)]
    for first in range(0, processes, 2):
        _train(config, runs[first : first + 2], seed=5, real=processes > 10)
    hashes = {weights_sha256(only_run(folder)) for folder in runs}
    _train(config, [tmp_path / "other"], seed=6, real=False)
    other = weights_sha256(only_run(tmp_path / "other"))
    figure("same seed, CPU, 1 thread", f"{processes} processes: {len(hashes)} hash; another seed: another one")
    assert len(hashes) == 1
    assert other not in hashes


def test_tables_do_not_depend_on_workers_or_order(tmp_path: Path, count: Count, figure: Figure) -> None:
    config = write_config(tmp_path, TRAININGS["adam, dropout, cosine"], epochs=2)
    workers, schemes = count(1, 3), SCHEMES[: count(2, 4)]
    ways = [(schemes, jobs) for jobs in (1, 2, 4)[:workers]] + [(schemes[::-1], count(1, 2))]
    documents = [_compared(tmp_path, config, order, jobs, "json").out for order, jobs in ways]
    tables = [_without_times(_compared(tmp_path, config, schemes, jobs, "table").out) for _, jobs in ways[:workers]]
    facts = [_facts(Comparison.model_validate_json(document)) for document in documents]
    shuffled = compare(schemes, config=config, seeds=[2, 0, 3, 1], runs_dir=None)
    facts.append(_facts(shuffled))
    different = sum(other != facts[0] for other in facts[1:])
    jobs = " / ".join(f"-j {jobs}" for _, jobs in ways[:workers])
    figure(
        f"{jobs}, any order of schemes and seeds",
        f"{len(facts)} documents: {different} differ from the first; {len(tables)} tables: {len(set(tables))} text",
    )
    assert different == 0
    assert len(set(tables)) == 1


def _train(config: Path, runs: Sequence[Path], seed: int, real: bool) -> None:
    """Train the config in as many processes at a time, each in a runs folder of its own."""
    arguments = ["run", str(config), "--seed", str(seed), "-q", "--runs-dir"]
    commands = [start([*arguments, str(folder)], config.parent, real=real) for folder in runs]
    for command in commands:
        with command:
            assert command.wait().code == 0, command.err


def _compared(folder: Path, config: Path, schemes: Sequence[str], jobs: int, format_: str) -> Ended:
    """Compare with so many workers; the runs are there already where it was done before, in another format."""
    runs = folder / f"runs-{jobs}-{schemes[0]}"
    arguments = ["compare", "--config", str(config), "--schemes", ",".join(schemes), "--seeds", "4", "-j", str(jobs)]
    ended = finish([*arguments, "-q", "--format", format_, "--runs-dir", str(runs)], folder)
    assert ended.code == 0, ended.err
    return ended


def _facts(comparison: Comparison) -> dict[str, Any]:
    """Return all that a comparison says but for times, in one order of schemes, pairs and seeds."""
    dumped: dict[str, Any] = json.loads(comparison.model_dump_json())
    for scheme in dumped["schemes"]:
        scheme["seconds"] = scheme["init_seconds"] = None
        scheme["runs"].sort(key=lambda run: run["seed"])
    dumped["schemes"].sort(key=lambda scheme: scheme["scheme"])
    dumped["pairs"] = sorted(map(_oriented, dumped["pairs"]), key=lambda pair: (pair["a"], pair["b"]))
    return {**dumped, "seeds": sorted(dumped["seeds"]), "reused": None}


def _oriented(pair: dict[str, Any]) -> dict[str, Any]:
    """Return the pair as a - b with a before b in the alphabet; the verdict only where it was so."""
    pair = {**pair, "verdict": re.sub(r"^.*?\], ", "", pair["verdict"])}  # what comes after the interval
    if pair["a"] < pair["b"]:
        return pair
    turned = {"difference": -pair["difference"], "ci_low": -pair["ci_high"], "ci_high": -pair["ci_low"]}
    return {**pair, "a": pair["b"], "b": pair["a"], **turned}


def _without_times(table: str) -> str:
    """Return the printed table without its last column, s/run."""
    assert "s/run" in table
    return re.sub(r"(?<= ) *(\d+\.\d|s/run)$", "", table, flags=re.MULTILINE)
