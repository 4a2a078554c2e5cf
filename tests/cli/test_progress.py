"""What is shown while runs are initialized and trained: on a terminal, and where stderr is none."""

from __future__ import annotations

import io

import pytest
from report.builders import run_result
from rich.console import Console

from initbench.cli import progress
from initbench.cli.progress import CompareDisplay, Display, RunDisplay
from initbench.events import EpochDone, Initializing, InitStep, Planned, RunDone
from initbench.results import PretrainingRow

ROW = PretrainingRow(
    layer="[b]fc1", epoch=2, reconstruction_error=0.0446, free_energy=-3.5, pseudo_log_likelihood=-156.9, seconds=0.31
)
RESULT = run_result("dbn", 0, pretraining=(ROW,))


@pytest.fixture(params=[True, False], ids=["terminal", "no terminal"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(file=io.StringIO(), force_terminal=request.param, width=100, color_system=None)
    monkeypatch.setattr(progress, "stderr", lambda: console)
    return console


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def initializing(done: int, row: PretrainingRow | None = ROW) -> Initializing:
    return Initializing(RESULT.run_id, "dbn", 0, InitStep("pre-training [b]fc1", done, 4, row))


def planned(display: Display, runs: int) -> None:
    config = {**RESULT.config, "init": {"scheme": "dbn", "layers": {"out": "zeros"}}, "data": {}, "device": "cpu"}
    display.emit(
        Planned(
            config=config,
            device="cpu",
            dataset=RESULT.dataset,
            parameters=10,
            runs=runs,
            seeds=(0,),
            epochs=2,
            reused=0,
            run_dir=None,
        )
    )


def test_a_run_prints_a_line_per_pretraining_epoch_and_none_for_other_steps(screen: Console) -> None:
    with RunDisplay(quiet=False) as display:
        planned(display, 1)
        display.emit(initializing(1))
        display.emit(initializing(2, None))
        display.emit(EpochDone(RESULT.run_id, "dbn", 0, RESULT.history[0]))
    lines = [line for line in text_of(screen).splitlines() if "reconstr. error" in line]
    assert len(lines) == 1
    for fact in ("[b]fc1", "0.0446", "-156.9", "0.3 s"):
        assert fact in lines[0]
    assert "layers {out: zeros}" in text_of(screen)


def test_a_comparison_has_a_bar_for_each_run_that_is_being_initialized(screen: Console) -> None:
    with CompareDisplay(quiet=False) as display:
        planned(display, 2)
        display.emit(initializing(1))
        with screen.capture() as during:
            screen.print(display.live())
        display.emit(RunDone("dbn", RESULT, reused=False))
        with screen.capture() as after:
            screen.print(display.live())
    assert "dbn, seed 0: pre-training [b]fc1" in during.get()
    assert "1/4" in during.get()
    assert "pre-training" not in after.get()


def test_quiet_shows_no_pretraining(screen: Console) -> None:
    with RunDisplay(quiet=True) as display:
        planned(display, 1)
        display.emit(initializing(1))
    assert text_of(screen) == ""


def test_a_result_without_epochs_before_it_moves_the_bar_by_all_of_them(screen: Console) -> None:
    with CompareDisplay(quiet=False) as display:
        planned(display, 2)
        display.emit(RunDone("dbn", RESULT, reused=False))
        with screen.capture() as drawn:
            screen.print(display.live())
    assert ("2/4 epochs" in drawn.get()) == screen.is_terminal


def test_before_the_first_sign_of_work_nothing_is_promised(screen: Console) -> None:
    with CompareDisplay(quiet=False) as display:
        planned(display, 2)
        with screen.capture() as drawn:
            screen.print(display.live())
    if screen.is_terminal:
        assert "0/4 epochs" in drawn.get()
        assert "? to go" in drawn.get()


def test_a_run_that_ended_early_has_no_epochs_left(screen: Console) -> None:
    diverged = run_result("normal", 0, None, status="diverged", history=[])
    with CompareDisplay(quiet=False) as display:
        planned(display, 2)
        display.emit(RunDone("normal", diverged, reused=False))
        with screen.capture() as drawn:
            screen.print(display.live())
    assert ("2/4 epochs" in drawn.get()) == screen.is_terminal
    assert "normal, seed 0: diverged" in text_of(screen)
