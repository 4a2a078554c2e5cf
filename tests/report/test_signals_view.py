"""An inspection in the terminal: everything is there, nothing is cut, names are never read as markup."""

from __future__ import annotations

import functools
import io
import re

import pytest
from report import signal_builders as built
from rich.console import Console, RenderableType

from initbench.report.compact import counted, left_out_of
from initbench.report.signals_view import inspection_view, model_text, signal_rows_view
from initbench.report.wide_table import MOST_ROWS
from initbench.results import SignalReport, Verdict
from initbench.results.signals import VerdictKind


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
    for part in (
        "hidden 5 x 100",
        "activation sigmoid",
        "51,510 parameters",
        "1,000 samples",
        "one draw, seed 0",
        "cpu",
    ):
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


@pytest.mark.parametrize(("width", "epochs"), [(80, [0, 1, 4, 6, 10, 15]), (120, [0, 1, 2, 4, 6, 8, 10, 15])])
def test_signals_in_training_show_as_many_epochs_as_fit(width: int, epochs: list[int]) -> None:
    text = shown(signal_rows_view(built.ROWS["training"]), width)
    lines = [line.split() for line in text.splitlines()]
    headings = [line for line in lines if "epoch" in line and line[0] == "std" and line[1] == "epoch"]
    assert headings == [["std", *" epoch ".join(["", *map(str, epochs)]).split()]]
    dead = [f"{2 * epoch:.1f}" if epoch else "0" for epoch in epochs]  # 2 % of the units more die in each epoch
    assert ["fc1", *dead] in lines
    assert (f"{len(epochs)} of 8 recorded epochs; 2 more are" in text) == (width == 80)


def test_epochs_at_which_nothing_could_be_measured_are_named_in_one_line() -> None:
    lines = shown(signal_rows_view(built.ROWS["problem"]), 80).splitlines()
    assert lines[0] == "not measured: epochs 2, 3: the forward pass failed"
    assert lines[1] == "signals in training, 3 of 3 recorded epochs"
    assert sum("epoch 4" in line for line in lines) == sum("epoch 0" in line for line in lines) > 0
    assert not any("epoch 2 " in line for line in lines)
    assert (
        shown(signal_rows_view(built.ROWS["only problems"]), 80) == "not measured: epoch 2: the forward pass failed\n"
    )


def legend_of(case: str, *, details: bool) -> str:
    text = shown(inspection_view(built.INSPECTIONS[case](), details=details), 100)
    found = [part for part in text.split("\n\n") if part.startswith("Columns: ")]
    return " ".join(found[0].split()) if found else ""


@pytest.mark.parametrize(
    ("case", "there", "absent"),
    [
        (
            "sigmoid",
            ["one standard deviation", "satur.", "Jacobian, mean s", "sigma_w: std", "chi1"],
            ["dead", "finite:"],
        ),
        ("relu", ["dead: ", "between inputs: ", "effective rank: "], ["satur.", "finite: "]),
        ("convolutional", ["pre-act. rms: root mean square"], ["standard deviation of networks", "sigma_w", "chi1"]),
        ("broken", ["finite: share"], ["Jacobian", "dead"]),
    ],
)
def test_the_legend_explains_the_columns_that_are_there(case: str, there: list[str], absent: list[str]) -> None:
    text = legend_of(case, details=False)
    assert all(part in text for part in there)
    assert not any(part in text for part in (*absent, "symmetry", "update ratio"))
    detailed = legend_of(case, details=True)
    assert all(part in detailed for part in ("symmetry: 1 where all units are alike", "symm.", "update ratio: "))


def test_without_layers_there_is_no_legend() -> None:
    assert legend_of("none", details=True) == ""


@pytest.mark.parametrize(
    ("scale", "trainable", "text"),
    [
        (70.0, 420.0, "depth scale 70.0 layers (times six, 420: about as deep as such networks train);"),
        (0.372, 2.23, "depth scale under 1 layer (times six, 2.23: about as deep as such networks train);"),
        (0.1, 0.6, "depth scale under 1 layer (times six, under 1: about as deep as such networks train);"),
        (None, None, "depth scale: no limit;"),
    ],
)
def test_the_depth_scale_promises_nothing_beyond_gradients(
    scale: float | None, trainable: float | None, text: str
) -> None:
    source = built.relu().reports[0]
    assert source.theory is not None
    theory = source.theory.model_copy(update={"depth_scale": scale, "trainable_depth": trainable})
    found = built.inspection(source.model_copy(update={"theory": theory}))
    assert text in " ".join(shown(inspection_view(found), 100).split())


def test_one_of_a_kind_is_singular() -> None:
    one = built.report("he_normal", [], [], samples=1, gradient_samples=1)
    text = shown(inspection_view(built.inspection(one, parameters=1)), 200)
    assert "1 parameter; standard normal noise; 1 sample; one draw, seed 0; cpu" in text
    assert counted(1000, "sample") == "1,000 samples"
    assert left_out_of(1, 13, "layer") == "1 of 13 layers is left out here; --format json has all."


NEW_KINDS: tuple[VerdictKind, ...] = ("shrinks", "grows", "gradient shrinks", "gradient grows", "loss")


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_what_only_slows_training_down_is_yellow(kind: VerdictKind) -> None:
    verdicts = Verdict(kind="healthy", text="healthy"), Verdict(kind=kind, text="but")
    view = inspection_view(built.inspection(built.report("he_normal", [], [], verdicts=verdicts)))
    assert "\x1b[33mhe_normal: healthy; but" in shown(view, 80, color=True)
