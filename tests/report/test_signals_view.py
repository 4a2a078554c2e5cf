"""An inspection in the terminal: everything is there, nothing is cut, names are never read as markup."""

from __future__ import annotations

import functools
import io
import re

import pytest
from report import signal_builders as built
from rich.console import Console, RenderableType

from initbench.report.signals_view import inspection_view, model_text, signal_rows_view
from initbench.report.wide_table import MOST_ROWS
from initbench.results import SignalReport


def shown(view: RenderableType, width: int, *, color: bool = False) -> str:
    file = io.StringIO()
    system = "standard" if color else None
    Console(file=file, width=width, force_terminal=color, color_system=system, highlight=False).print(view)
    return file.getvalue()


@functools.cache
def text_of(case: str, width: int) -> str:
    return shown(inspection_view(built.INSPECTIONS[case](), details=True), width)


def packed(text: str) -> str:
    """The text without spaces and line breaks: names longer than a line are broken anywhere."""
    return "".join(text.split())


def section(text: str, report: SignalReport) -> str:
    """What stands between the report's heading and the next empty section's end: its tables and its lines."""
    return text[text.rindex(f"\n{report.scheme}\n") : text.rindex(f"\n{report.scheme}: ")]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("case", built.INSPECTIONS)
def test_no_line_is_too_long_and_nothing_is_cut(case: str, width: int) -> None:
    text = text_of(case, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert not re.search(r"\b(nan|inf|None)\b", text)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("case", built.INSPECTIONS)
def test_every_scheme_verdict_note_and_unplaced_weight_is_there(case: str, width: int) -> None:
    text = packed(text_of(case, width))
    for report in built.INSPECTIONS[case]().reports:
        assert packed(report.scheme or "weights as they are") in text
        said = (report.verdict, *report.notes, report.no_theory or "")
        assert all(packed(part) in text for part in said)
        for weight in (
            report.weights if len(report.weights) <= MOST_ROWS else report.weights[:: len(report.weights) - 1]
        ):
            assert packed(weight.name.removesuffix(".weight"))[:20] in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("case", ["sigmoid", "relu"])
def test_each_layer_has_its_numbers_beside_theory(case: str, width: int) -> None:
    text = text_of(case, width)
    for report in built.INSPECTIONS[case]().reports:
        own = section(text, report)
        for row in report.layers:
            assert row.theory is not None
            assert row.pre_rms is not None
            assert row.delta_rms is not None
            forward = re.search(rf"\n{row.label} +(\S+) \((\S+) ± (\S+)\)", own)
            assert forward is not None
            expected = row.pre_rms, row.theory.pre_rms, row.theory.pre_rms_error
            assert [float(number) for number in forward.groups()[:2]] == pytest.approx(expected[:2], rel=0.006)
            assert float(forward[3]) == pytest.approx(expected[2], rel=0.5)
            backward = re.search(rf"\n{row.label} .*?(\S+) \((\S+)\) +\S+ *\n", own)
            assert backward is not None
            assert float(backward[1]) == pytest.approx(row.delta_rms, rel=0.05)
        assert "satur." in own if case == "sigmoid" else "dead" in own
        assert "symmetry" in own
        assert "Jacobian" in own
        assert f"chi1 {0.0679}" in own


def test_a_layer_s_bars_are_those_of_its_histogram_on_the_shared_axis() -> None:
    rows = {line.split()[0]: line for line in text_of("sigmoid", 80).splitlines()[:16] if line.split()}
    first, second = rows["fc5"][5:22], rows["fc5"][24:41]
    assert first.strip()[0] in "▇█"  # N(0, 1) is at both ends
    assert first.strip()[-1] in "▇█"
    assert set(first[4:-4]) == {"▁"}
    assert second[:5].strip() == second[-5:].strip() == ""  # N(0, 0.01^2) is in the middle
    assert "█" in second
    assert "sigmoid from 0 to 1" in text_of("sigmoid", 80)


def test_all_none_is_dashes_and_no_histogram() -> None:
    text = text_of("broken", 80)
    assert "No histograms" in text
    assert ["fc1", "sigmoid", "-", "-", "-", "-", "-", "0", "-", "-"] in [
        [*line.split()[:6], "-", *line.split()[6:]] for line in text.splitlines()
    ]
    assert ["fc1", "100/100", "50.0", *"------"] in [line.split() for line in text.splitlines()]
    assert "he_normal: not finite: no activation of layer fc1 is a number" in text


def test_of_many_layers_some_are_left_out_and_it_says_so() -> None:
    text = " ".join(text_of("deep", 80).split())
    assert "88 of 100 layers are left out here; --format json has all." in text
    assert "76 of 100 rows are left out here; --format json has all." in text
    assert all(f" fc{number} " in text for number in (1, 2, 3, 98, 99, 100))


@pytest.mark.parametrize(("width", "grids"), [(80, 3), (120, 2)])
def test_schemes_that_do_not_fit_beside_each_other_get_a_further_grid(width: int, grids: int) -> None:
    before_the_tables = text_of("named", width).split("Each cell")[0]
    assert before_the_tables.count("[b]fc1[/b]") == grids
    assert all(f"std=0.{i}" in before_the_tables for i in range(1, 7))


def test_what_was_inspected_is_said_and_a_stand_in_is_loud() -> None:
    first = " ".join(text_of("sigmoid", 120).splitlines()[:2])
    for part in ("hidden 5 x 100", "activation sigmoid", "51,510 parameters", "1,000 samples", "seed 0", "cpu"):
        assert part in first
    assert text_of("relu", 80).startswith("STAND-IN DATA: this is digits in place of mnist.")
    assert "digits (stand-in for mnist)" in " ".join(text_of("relu", 80).split())


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (None, "model"),
        ({}, "model"),
        ({"name": "rnn", "hidden": [64], "bias": True, "dropout": 0.0}, "rnn (hidden 64)"),
        ({"name": "mlp", "hidden": [9, 9, 5], "activation": "relu"}, "mlp (hidden 2 x 9 + 5, activation relu)"),
        ({"name": "mlp", "residual": True, "bias": False, "hidden": []}, "mlp (residual, no bias)"),
    ],
)
def test_a_model_is_described_by_what_is_set(model: object, text: str) -> None:
    assert model_text(model) == text


@pytest.mark.parametrize(
    ("case", "scheme", "code"),
    [
        ("sigmoid", "he_normal", 32),
        ("sigmoid", "normal:std=1", 33),
        ("constant", "zeros", 31),
        ("broken", "he_normal", 31),
    ],
)
def test_verdicts_are_coloured_by_their_kind(case: str, scheme: str, code: int) -> None:
    lines = shown(inspection_view(built.INSPECTIONS[case]()), 120, color=True).splitlines()
    line = next(line for line in reversed(lines) if f"{scheme}:" in line)
    assert line.startswith(f"\x1b[{code}m")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("case", built.ROWS)
def test_signals_in_training_fit_and_have_every_layer(case: str, width: int) -> None:
    rows = built.ROWS[case]
    text = shown(signal_rows_view(rows), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for layer in rows[0].layers[:3] if rows else ():
        assert layer.name in text
    assert text.strip()


def test_signals_in_training_show_the_first_the_last_and_three_between() -> None:
    lines = [line.split() for line in shown(signal_rows_view(built.ROWS["training"]), 80).splitlines()]
    headings = [line for line in lines if "epoch" in line and line[0] == "std" and line[1] == "epoch"]
    assert headings == [["std", *" epoch ".join(["", "0", "2", "6", "8", "15"]).split()]]
    assert ["fc1", "0", "4.0", "12.0", "16.0", "30.0"] in lines  # 2 % of the units more die in each epoch
