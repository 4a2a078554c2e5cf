"""A comparison made from runs: each scheme's mean with its interval, and each pair's difference, paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from initbench.errors import UsageError
from initbench.results import (
    ALPHA,
    PERCENTILE_MARK,
    Comparison,
    DatasetInfo,
    PairedDifference,
    RunResult,
    RunSummary,
    SchemeSummary,
)
from initbench.stats import holm, mean_interval, seeds_needed, sign_flip_p, smallest_p

ROUNDING = 12  # decimals kept of a difference: accuracies are counts over test_size, what is beyond is float noise

Runs = Mapping[str, Sequence[RunResult]]


def summarize(
    runs: Runs,
    *,
    config: dict[str, Any],
    target_accuracy: float,
    reused: int = 0,
    confidence: float = 0.95,
    warnings: Sequence[str] = (),
) -> Comparison:
    """Return the comparison of `runs` (label -> its runs), with labels in the order given.

    Means, intervals and differences are over runs with status "done"; diverged and failed ones are counted beside.
    Each pair is computed with its labels in alphabetical order and then turned, so that the order of the schemes
    changes no number but the sign.

    Args:
        runs: every label's runs, one for each seed; the same seeds, dataset and device for all labels.
        config: what the runs share, as it is printed.
        target_accuracy: fraction in [0, 1] that `epochs_to_target` is about.
        reused: how many of the runs were not trained for this comparison.
        confidence: of the intervals, in (0, 1).
        warnings: shown with the comparison, before those found here.

    Raises:
        UsageError: there is nothing to compare, or the runs do not belong together.
    """
    by_seed = {label: tuple(sorted(of_label, key=lambda run: run.seed)) for label, of_label in runs.items()}
    dataset, device, seeds = _check_comparable(by_seed)
    pairs = _pairs(by_seed, confidence)
    return Comparison(
        dataset=dataset,
        config=config,
        device=device,
        seeds=seeds,
        target_accuracy=target_accuracy,
        confidence=confidence,
        schemes=tuple(_scheme(label, of_label, target_accuracy, confidence) for label, of_label in by_seed.items()),
        pairs=pairs,
        reused=reused,
        warnings=(*warnings, *_failures(by_seed), *_too_few_seeds(pairs, len(seeds))),
    )


def _failures(runs: Runs) -> list[str]:
    """Return why runs failed: each reason once for each scheme."""
    found = []
    for label, of_label in runs.items():
        errors = [run.error or "no reason was recorded" for run in of_label if run.status == "failed"]
        found += [
            f"{label} failed in {errors.count(error)} of {len(of_label)}: {error}" for error in dict.fromkeys(errors)
        ]
    return found


def epochs_to_target(runs: Iterable[RunResult], target_accuracy: float) -> list[float]:
    """Return each run's first epoch with test_accuracy >= target_accuracy, infinity where there is none."""
    return [
        min((row.epoch for row in run.history if row.test_accuracy >= target_accuracy), default=math.inf)
        for run in runs
    ]


def _check_comparable(runs: Runs) -> tuple[DatasetInfo, str, tuple[int, ...]]:
    """Return the dataset, device and seeds that all runs share; raises UsageError where they share none."""
    empty = [label for label, of_label in runs.items() if not of_label]
    if not runs or empty:
        what = f"scheme {empty[0]!r} has no runs" if empty else "no schemes were given"
        raise UsageError(f"nothing to compare: {what}. Give every scheme at least one seed.")
    first_label, first = next((label, of_label[0]) for label, of_label in runs.items())
    for label, of_label in runs.items():
        for run in of_label:
            _check_same_dataset(first_label, first.dataset, label, run.dataset)
            _check_same_device(first_label, first.device, label, run.device)
    return first.dataset, first.device, _shared_seeds(runs)


def _check_same_dataset(label: str, expected: DatasetInfo, other_label: str, other: DatasetInfo) -> None:
    if other != expected:
        raise UsageError(
            f"Runs on different datasets never meet in one comparison: {label} ran on {_described(expected)}, "
            f"{other_label} on {_described(other)}. Run both on the same data."
        )


def _described(dataset: DatasetInfo) -> str:
    stand_in = f", a stand-in for {dataset.stand_in_for}" if dataset.stand_in_for else ""
    return f"{dataset.name} ({dataset.train_size}+{dataset.test_size} images, {dataset.sha256[:12]}{stand_in})"


def _check_same_device(label: str, expected: str, other_label: str, other: str) -> None:
    if other.partition(":")[0] != expected.partition(":")[0]:  # two CUDA devices of a machine may share a comparison
        raise UsageError(
            f"Runs on different devices never meet in one comparison: {label} ran on {expected}, "
            f"{other_label} on {other}. Name one with --device."
        )


def _shared_seeds(runs: Runs) -> tuple[int, ...]:
    """Return the sorted seeds; raises UsageError where a label has one twice or others than the first label."""
    seeds = {label: tuple(run.seed for run in of_label) for label, of_label in runs.items()}
    first_label, expected = next(iter(seeds.items()))
    for label, own in seeds.items():
        if len(set(own)) < len(own):
            twice = next(seed for seed in own if own.count(seed) > 1)
            raise UsageError(f"scheme {label!r} has seed {twice} twice; each seed is run once.")
        if own != expected:
            raise UsageError(
                f"schemes are compared on the same seeds, but {first_label} has {_listed(expected)} and "
                f"{label} has {_listed(own)}. Run the missing ones."
            )
    return expected


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _scheme(label: str, runs: Sequence[RunResult], target_accuracy: float, confidence: float) -> SchemeSummary:
    """Return the summary of one scheme's runs, which are sorted by seed."""
    accuracies = list(_finished(runs).values())
    interval = mean_interval(accuracies, confidence)
    reached = epochs_to_target(runs, target_accuracy)
    return SchemeSummary(
        scheme=label,
        n=len(accuracies),
        diverged=_count(runs, "diverged"),
        failed=_count(runs, "failed"),
        mean=_mean(accuracies),
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        ci_method=interval.method if interval else None,
        min=min(accuracies, default=None),
        max=max(accuracies, default=None),
        epochs_to_target=_finite(statistics.median(reached)),
        reached_target=sum(map(math.isfinite, reached)),
        init_seconds=_mean([run.init_s for run in runs if run.status == "done"]),
        seconds=_mean([run.train_s for run in runs if run.status == "done"]),
        runs=tuple(
            RunSummary(seed=run.seed, status=run.status, test_accuracy=run.test_accuracy, run_id=run.run_id)
            for run in runs
        ),
    )


def _finished(runs: Sequence[RunResult]) -> dict[int, float]:
    """Return seed -> test accuracy of the runs that are done."""
    return {run.seed: run.test_accuracy for run in runs if run.status == "done" and run.test_accuracy is not None}


def _count(runs: Sequence[RunResult], status: str) -> int:
    return sum(run.status == status for run in runs)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pairs(runs: Runs, confidence: float) -> tuple[PairedDifference, ...]:
    """Return later - earlier for every two labels, with Holm's correction over all of them."""
    orientations = [(later, earlier) for earlier, later in combinations(runs, 2)]
    raw = [_paired(runs, a, b, confidence) for a, b in orientations]
    # a pair that could not be tested stays in the family, as one that showed nothing
    adjusted = holm([1.0 if pair.p_value is None else pair.p_value for pair in raw])
    return tuple(
        _with_verdict(pair if pair.p_value is None else pair.model_copy(update={"p_holm": p}), runs, len(raw))
        for pair, p in zip(raw, adjusted, strict=True)
    )


def _paired(runs: Runs, a: str, b: str, confidence: float) -> PairedDifference:
    """Return a - b on the seeds that both finished, before correction and without its verdict."""
    if a > b:
        return _turned(_paired(runs, b, a, confidence))
    of_a, of_b = _finished(runs[a]), _finished(runs[b])
    differences = [round(of_a[seed] - of_b[seed], ROUNDING) for seed in of_a if seed in of_b]
    interval = mean_interval(differences, confidence)
    return PairedDifference(
        a=a,
        b=b,
        n=len(differences),
        difference=_mean(differences),
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        ci_method=interval.method if interval else None,
        p_value=sign_flip_p(differences) if differences else None,
        p_holm=None,
        verdict="",
    )


def _turned(pair: PairedDifference) -> PairedDifference:
    """Return b - a for a - b."""
    return pair.model_copy(
        update={
            "a": pair.b,
            "b": pair.a,
            "difference": _negated(pair.difference),
            "ci_low": _negated(pair.ci_high),
            "ci_high": _negated(pair.ci_low),
        }
    )


def _negated(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # not -value: 0 has one sign in a report


def _with_verdict(pair: PairedDifference, runs: Runs, pairs: int) -> PairedDifference:
    """Return `pair`, one of so many `pairs`, with its result in words, which name the runs that it is not about."""
    lost = [text for label in (pair.a, pair.b) for text in _lost(label, runs[label])]
    return pair.model_copy(update={"verdict": "; ".join([_words(pair, pairs), *lost])})


def _lost(label: str, runs: Sequence[RunResult]) -> list[str]:
    counts = {status: _count(runs, status) for status in ("diverged", "failed")}
    return [f"{label} {status} in {count} of {len(runs)}" for status, count in counts.items() if count]


def _words(pair: PairedDifference, pairs: int) -> str:
    """Return "a - b: difference [interval], what it shows (n)", in percentage points."""
    name = f"{pair.a} - {pair.b}"
    if pair.difference is None:
        return f"{name}: no seed was finished by both (n=0)"
    points = f"{name}: {_points(pair.difference)} points"
    if pair.ci_low is None or pair.ci_high is None:
        return f"{points}, no interval from one seed (n={pair.n})"
    mark = PERCENTILE_MARK if pair.ci_method == "percentile" else ""
    shown = f"{points} {mark}[{_points(pair.ci_low)}, {_points(pair.ci_high)}]"
    if pair.better is None or pair.p_holm is None:
        return f"{shown}, no difference detected ({_why_undetected(pair, pairs)}n={pair.n})"
    return f"{shown}, {pair.better} is better ({_p(pair.p_holm)}, n={pair.n})"


def _why_undetected(pair: PairedDifference, pairs: int) -> str:
    """Return "too few seeds to tell, " where none could be; the p where the interval, uncorrected, leaves 0 out."""
    if pairs * smallest_p(pair.n) > ALPHA:
        return "too few seeds to tell, "
    leaves_0_out = pair.ci_low is not None and pair.ci_high is not None and not pair.ci_low <= 0 <= pair.ci_high
    return f"{_p(pair.p_holm)}, " if leaves_0_out and pair.p_holm is not None else ""


def _points(fraction: float) -> str:
    """Return a difference of accuracies in percentage points, signed; what rounds to 0 has no sign."""
    text = f"{100 * fraction:+.2f}"
    return "0.00" if float(text) == 0 else text


def _p(p: float) -> str:
    """Return "p=.006", never rounded up to the threshold that it is below, down to it or down to 0."""
    if p < 0.001:
        return "p<.001"
    if p >= ALPHA:
        return "p=1" if p == 1 else f"p={math.ceil(100 * p - 1e-9) / 100:.2f}".replace("0.", ".")
    text = f"{p:.3f}"
    return f"p<{ALPHA:.2g}".replace("0.", ".") if float(text) >= ALPHA else f"p={text[1:]}"


def _too_few_seeds(pairs: Sequence[PairedDifference], seeds: int) -> list[str]:
    """Return the warning that no pair could become significant, or nothing where one could."""
    if not pairs or len(pairs) * smallest_p(max(pair.n for pair in pairs)) <= ALPHA:
        return []
    cannot = "the pair cannot reach p < .05"
    if len(pairs) > 1:
        cannot = f"no pair of {len(pairs)} can reach p < .05 after Holm's correction"
    needed = seeds_needed(len(pairs), ALPHA)
    if seeds >= needed:
        finished = max(pair.n for pair in pairs)
        return [f"with {finished} of {seeds} seeds finished by both schemes of a pair, {cannot}."]
    return [f"with {seeds} seed{'s' if seeds > 1 else ''} {cannot}; {needed} seeds would do."]
