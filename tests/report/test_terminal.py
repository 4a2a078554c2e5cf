from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import pytest
from report.builders import CONFIG, DIGITS, comparison, run_result, runs_of, spread
from rich.console import Console, RenderableType

from initbench.report.run_view import epoch_line, history_table, outcome, run_view
from initbench.report.terminal import comparison_view
from initbench.results import Comparison, EpochRow, RunResult
from initbench.summary import summarize

LONG = "trunc_normal:a=-2.0:b=2.0:mean=0.0:std=1.0"
EVIL = "[red]he[/red]"

HARD: Mapping[str, Sequence[float | None]] = {
    "xavier_uniform": spread(0.9782, 5),
    LONG: [0.95, None, 0.96, 0.9512, 0.961],
    "zeros": [0.1135] * 5,
    "he": [1.0, 1.0, 1.0, 1.0, 0.9999],
}
CASES = {
    "three": comparison(),
    "hard": comparison(HARD, dataset=DIGITS),
    "single": comparison({"he": [0.97]}),
    "all diverged": comparison({"he": [None] * 3, "xavier": [None] * 3}),
    "failed": comparison({"he": [None] * 10, "xavier_uniform": [*spread(0.97, 9), None]}, lost="failed"),
    "evil": comparison({EVIL: [0.9, 0.8], "he": [0.9, 0.7]}, warnings=("[bold]mind[/bold]",)),
}


def shown(view: RenderableType, width: int = 80, *, color: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False
    )
    console.print(view)
    return file.getvalue()


def rejoined(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("case", CASES)
def test_no_line_is_too_long_and_no_number_is_cut(case: str, width: int) -> None:
    found = CASES[case]
    text = shown(comparison_view(found), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for scheme in found.schemes:
        if scheme.mean is not None and scheme.ci_low is not None and scheme.ci_high is not None:
            interval = rf"\[{100 * scheme.ci_low:.2f}, {100 * scheme.ci_high:.2f}\]"
            assert re.search(rf"\b{scheme.n} +{100 * scheme.mean:.2f} +\*?{interval}", text)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("case", CASES)
def test_every_verdict_and_warning_is_there_with_its_intervals_in_one_piece(case: str, width: int) -> None:
    text = shown(comparison_view(CASES[case]), width)
    for pair in CASES[case].pairs:
        assert pair.verdict in rejoined(text)
        for interval in re.findall(r"\[[-+\d., ]+\]", pair.verdict):
            assert interval in text
    for warning in CASES[case].warnings:
        assert f"warning: {warning}" in rejoined(text)


@pytest.mark.parametrize("width", [80, 120])
def test_every_column_is_there_from_80_columns_on(width: int) -> None:
    text = shown(comparison_view(CASES["hard"]), width)
    heading = next(line for line in text.splitlines() if line.startswith("scheme "))
    assert re.split(r"\s{2,}", heading.strip()) == [
        *("scheme", "n", "mean %", "95 % interval", "min-max", "to 97 %", "div.", "s/run")
    ]
    assert re.search(r"95\.00-96\.10 +- +1 +30\.2", text)
    assert re.search(r"99\.99-100\.00 +2 +0 +30\.2", text)


def test_the_numbers_of_a_column_are_aligned() -> None:
    lines = shown(comparison_view(CASES["hard"])).splitlines()
    assert len({line.index("]") for line in lines if re.match(r"(xavier_uniform|zeros|he) +5 ", line)}) == 1


def test_a_long_scheme_breaks_after_a_colon_only_where_it_must() -> None:
    narrow, wide = (shown(comparison_view(CASES["hard"]), width) for width in (80, 120))
    assert LONG in wide.split("95 % intervals")[0]
    folded = [line.split("  ")[0].strip() for line in narrow.splitlines() if re.match(r"trunc_normal:|[a-z]+=", line)]
    assert "".join(folded[:3]).startswith(LONG)


@pytest.mark.parametrize(("init_s", "shown_there"), [(0.04, False), (2.5, True)])
def test_a_long_initialization_gets_a_column_of_its_own(init_s: float, shown_there: bool) -> None:
    runs = {"dbn": runs_of("dbn", [0.9, 0.91], init_s=init_s), "he": runs_of("he", [0.9, 0.92])}
    text = shown(comparison_view(summarize(runs, config=CONFIG, target_accuracy=0.97)), 100)
    assert ("init s" in text) == shown_there
    if shown_there:
        assert [line.split()[-2:] for line in text.splitlines() if re.match("(dbn|he)  ", line)] == [
            ["2.5", "30.2"],
            ["0.0", "30.2"],
        ]


def test_failed_runs_get_a_column_when_there_are_any() -> None:
    assert " fail " in shown(comparison_view(CASES["failed"]))
    assert " fail " not in shown(comparison_view(CASES["three"]))


def test_what_was_measured_is_said() -> None:
    text = rejoined(shown(comparison_view(CASES["three"])))
    assert "Test accuracy on mnist, 60,000 training and 10,000 test images, cpu, 10 seeds" in text
    assert "95 % intervals: BCa bootstrap over seeds; differences: paired by seed" in text
    assert "percentile" not in text
    assert "STAND-IN" not in text


def test_the_stand_in_and_the_percentile_are_said() -> None:
    text = rejoined(shown(comparison_view(CASES["hard"])))
    assert text.startswith("STAND-IN DATA: this is digits in place of mnist.")
    assert "digits (stand-in for mnist)" in text
    assert "* percentile bootstrap, where BCa is undefined" in text
    assert "*[11.35, 11.35]" in text


def highlighted(found: Comparison) -> list[str]:
    """The schemes whose row is bold green."""
    text = shown(comparison_view(found), 120, color=True)
    return [
        scheme.scheme
        for scheme in found.schemes
        if re.search(rf"^\x1b\[1;32m{re.escape(scheme.scheme)}\b", text, re.MULTILINE)
    ]


@pytest.mark.parametrize(
    ("accuracies", "winners"),
    [
        ({"a": spread(0.90, 10), "b": spread(0.95, 10)}, ["b"]),
        ({"a": spread(0.97, 10), "b": spread(0.95, 10), "c": spread(0.96, 10)}, ["a"]),
        ({"a": spread(0.95, 10), "b": spread(0.95, 10, phase=1), "c": spread(0.9, 10)}, []),  # a, b: not told apart
        ({"a": spread(0.90, 5), "b": spread(0.95, 5)}, []),  # the higher mean alone does not win
        ({"a": spread(0.90, 10), "b": [*spread(0.95, 9), None]}, []),  # nor do the survivors of a diverging scheme
        ({"a": spread(0.90, 10)}, []),
    ],
)
def test_a_scheme_is_highlighted_only_where_it_is_better_than_all(
    accuracies: dict[str, list[float | None]], winners: list[str]
) -> None:
    assert highlighted(comparison(accuracies)) == winners


def test_names_are_never_markup() -> None:
    text = shown(comparison_view(CASES["evil"]), 120, color=True)
    assert EVIL in text
    assert "[bold]mind[/bold]" in text
    run = shown(run_view(run_result(EVIL, run_id=EVIL, run_dir="runs/[red]", status="failed", error="[red]x[/]")))
    assert run.count(EVIL) == 2
    assert "runs/[red]" in run
    assert "failed: [red]x[/]" in run


@pytest.mark.parametrize("view", [comparison_view(CASES["hard"]), run_view(run_result(dataset=DIGITS))])
def test_colours_are_readable_on_dark_and_light(view: RenderableType) -> None:
    codes = {
        code for sequence in re.findall(r"\x1b\[([\d;]*)m", shown(view, color=True)) for code in sequence.split(";")
    }
    assert codes <= {"0", "1", "2", "31", "32", "36"}  # bold, dim, red, green, cyan


@pytest.mark.parametrize(
    ("row", "epochs", "line"),
    [
        (
            EpochRow(epoch=3, train_loss=0.08124, train_accuracy=0.97611, test_accuracy=0.9731, seconds=2.06),
            15,
            "epoch  3/15  train loss  0.0812  train acc  97.61 %  test acc  97.31 %    2.1 s",
        ),
        (
            EpochRow(epoch=15, train_loss=123.4567, train_accuracy=1.0, test_accuracy=1.0, seconds=100.04),
            15,
            "epoch 15/15  train loss  123.46  train acc 100.00 %  test acc 100.00 %  100.0 s",
        ),
        (
            EpochRow(epoch=1, train_loss=1.25e30, train_accuracy=0, test_accuracy=0.0980, seconds=0),
            5,
            "epoch 1/5  train loss 1.2e+30  train acc   0.00 %  test acc   9.80 %    0.0 s",
        ),
    ],
)
def test_epoch_lines_are_aligned(row: EpochRow, epochs: int, line: str) -> None:
    assert epoch_line(row, epochs) == line
    assert len(line) < 80


def test_the_history_has_a_row_for_each_epoch() -> None:
    lines = shown(history_table(run_result(history=[0.9, 0.95, 0.978]))).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["1", "1.0000", "91.00", "90.00", "2.0"],
        ["2", "0.5000", "96.00", "95.00", "2.0"],
        ["3", "0.3333", "98.80", "97.80", "2.0"],
    ]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_result(), "test accuracy 97.80 % on 10,000 test images of mnist, last epoch (n=1"),
        (run_result(dataset=DIGITS), "360 test images of digits (stand-in for mnist)"),
        (
            run_result(accuracy=None, status="diverged"),
            "diverged: the training loss was not finite in epoch 1, step 7.",
        ),
        (run_result(accuracy=None, status="failed"), "failed: out of memory"),
        (run_result(accuracy=None, status="failed", error=None), "failed: no reason was recorded"),
    ],
)
def test_outcomes_in_words(run: RunResult, words: str) -> None:
    assert words in rejoined(shown(outcome(run)))
    assert words in rejoined(shown(run_view(run)))


def test_a_run_view_names_what_identifies_the_run() -> None:
    text = shown(run_view(runs_of("he", [0.9, 0.8], run_dir="runs/x")[1]))
    for fact in ("he-1", "he", "done", "mnist, 60,000 training", "cpu", "269,322", "30.2 s to train", "runs/x"):
        assert fact in text
    assert re.search(r"^seed +1 *$", text, re.MULTILINE)
