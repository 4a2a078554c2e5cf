"""The phase diagram in the terminal, as a document and as a picture."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from initbench.mean_field import PhaseDiagram, phase_diagram, phase_of, phase_point
from initbench.report.phase_view import MAP_COLUMNS, phase_csv, phase_document, phase_view
from initbench.report.plots.phase import draw_phase

ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "selu")
POINTS = {"xavier_normal:gain=1": (1.0, 0.0), "lecun[red]": (1.0, 0.0), "he": (math.sqrt(2), 0.0), "far": (99.0, 0.5)}


@pytest.fixture(scope="module")
def diagrams() -> dict[str, PhaseDiagram]:
    return {activation: phase_diagram(activation, points=(41, 13)) for activation in ACTIVATIONS}


def shown(diagram: PhaseDiagram, points: dict[str, tuple[float, float]] | None = None, width: int = 80) -> list[str]:
    page = Console(file=io.StringIO(), record=True, width=width)
    page.print(phase_view(diagram, points))
    return page.export_text().splitlines()


def map_of(lines: list[str]) -> list[str]:
    """The rows of the map, the lowest sigma_b first."""
    first = lines.index("sigma_b") + 1
    last = next(place for place, line in enumerate(lines) if line.strip().startswith("++"))
    return [line[7:] for line in reversed(lines[first:last])]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_view_fits_and_cuts_nothing(activation: str, diagrams: dict[str, PhaseDiagram]) -> None:
    lines = shown(diagrams[activation], POINTS)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text
    assert all(phase in text for phase in ("ordered: gradients vanish", "critical: ", "chaotic: gradients explode"))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_map_shows_each_place_in_its_phase(activation: str, diagrams: dict[str, PhaseDiagram]) -> None:
    diagram = diagrams[activation]
    rows = map_of(shown(diagram))
    assert [len(row) for row in rows] == [41] * 13
    marks = {"ordered": "·", "critical": "#", "chaotic": "x"}
    for row, chis in zip(rows, diagram.chi1.tolist(), strict=True):
        for mark, chi in zip(row, chis, strict=True):
            assert mark in ("#", marks[phase_of(chi)])
    critical = [(row, row.count("#")) for row in rows]
    assert sum(count for _, count in critical) >= 5
    for row, count in critical:  # the line lies between the two phases, unbroken
        before, after = row.split("#" * count) if count else ("·", "x")
        assert set(before) == {"·"}
        assert set(after) == {"x"}


def test_large_diagrams_are_thinned_out() -> None:
    rows = map_of(shown(phase_diagram("relu", points=(200, 100))))
    assert len(rows) == 25
    assert {len(row) for row in rows} == {MAP_COLUMNS}


def test_a_small_diagram_is_shown_too() -> None:
    assert [len(row) for row in map_of(shown(phase_diagram("tanh", points=(3, 2))))] == [3, 3]


def test_wide_numbers_fit() -> None:
    lines = shown(phase_diagram("tanh", sigma_w=(1.234567, 99999), sigma_b=(1.2345e-9, 98765), points=(80, 30)), POINTS)
    assert max(map(len, lines)) <= 80


def test_named_points_are_on_the_map_and_in_the_table(diagrams: dict[str, PhaseDiagram]) -> None:
    lines = shown(diagrams["tanh"], POINTS)
    lowest = map_of(lines)[0]
    assert abs(diagrams["tanh"].sigma_w[lowest.index("A")] - 1) < 0.05
    assert abs(diagrams["tanh"].sigma_w[lowest.index("B")] - math.sqrt(2)) < 0.05
    assert "C" not in lowest
    cells = [line.split() for line in lines]
    assert ["A", "lecun[red]", "1", "0", "critical", "1", "no", "limit", "no", "limit"] in cells
    assert any(row[:5] == ["B", "he", "1.414", "0", "chaotic"] for row in cells)
    assert any(row[:4] == ["far", "99", "0.5", "chaotic"] for row in cells)


def test_the_critical_line_has_its_depth_scales(diagrams: dict[str, PhaseDiagram]) -> None:
    """relu: chi1 = (factor of sigma_w)^2, whatever the biases."""
    scales = [f"{1 / abs(math.log(factor**2)):.1f}" for factor in (0.9, 0.99, 1.01, 1.1)]
    assert ["0", "1.4142", "any", *scales] in [line.split() for line in shown(diagrams["relu"])]
    beside = phase_diagram("relu", sigma_w=(0.1, 1.0))
    assert "The critical line does not pass through these ranges." in shown(beside)


def strict(constant: str) -> float:
    raise AssertionError(f"{constant} is not strict JSON")


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_the_document_is_strict_json_with_all_numbers(activation: str, diagrams: dict[str, PhaseDiagram]) -> None:
    diagram = diagrams[activation]
    document = json.loads(phase_document(diagram, POINTS), parse_constant=strict)
    assert document["activation"] == activation
    for name in ("q", "chi1", "depth_scale"):
        grid = [[math.inf if value is None else value for value in row] for row in document[name]]
        np.testing.assert_array_equal(grid, getattr(diagram, name))
    assert [point["sigma_w"] for point in document["critical_line"]] == [point.sigma_w for point in diagram.line]
    assert [point["name"] for point in document["points"]] == list(POINTS)
    assert document["points"][0].keys() >= {
        "sigma_w",
        "sigma_b",
        "q",
        "chi1",
        "depth_scale",
        "phase",
        "trainable_depth",
    }
    if activation == "relu":
        assert document["points"][2]["trainable_depth"] is None
        assert document["points"][3]["q"] is None


def test_the_csv_has_a_row_for_each_place(diagrams: dict[str, PhaseDiagram]) -> None:
    diagram = diagrams["relu"]
    rows = list(csv.DictReader(io.StringIO(phase_csv(diagram))))
    assert len(rows) == 13 * 41
    np.testing.assert_array_equal([float(row["q"]) for row in rows], diagram.q.ravel())
    np.testing.assert_array_equal([float(row["chi1"]) for row in rows], diagram.chi1.ravel())
    *places, last = csv.DictReader(io.StringIO(phase_csv(diagram, {"he": (math.sqrt(2), 0.0)})))
    assert places == rows
    assert (last["point"], last["phase"], float(last["sigma_w"])) == ("he", "critical", math.sqrt(2))
    assert rows[41]["sigma_b"] == str(diagram.sigma_b[1])
    assert {row["phase"] for row in rows} == {"ordered", "chaotic"}


def test_what_the_points_are_is_said_and_which_are_outside(diagrams: dict[str, PhaseDiagram]) -> None:
    page = Console(file=io.StringIO(), record=True, width=80)
    page.print(phase_view(diagrams["tanh"], POINTS, "points: layers of 256 inputs"))
    text = page.export_text()
    assert text.count("(outside of the map)") == 1
    assert text.index(" far ") < text.index("\nfar (outside of the map)") < text.index("points: layers of 256 inputs")
    assert "points: layers" not in "\n".join(shown(diagrams["tanh"], POINTS))


@pytest.mark.parametrize(("activation", "starts"), [("gelu", True), ("silu", True), ("tanh", False), ("relu", False)])
def test_below_the_start_of_the_line_the_jump_of_chi1_is_drawn(activation: str, starts: bool) -> None:
    """On both sides of it lie the two phases: the point to its left is ordered, that to its right chaotic."""
    axes = Figure().subplots()
    draw_phase(axes, phase_diagram(activation))
    lines = {str(line.get_label()): line for line in axes.lines}
    assert {"critical", "depth scale, in layers"} <= lines.keys()
    assert (r"$\chi_1$ jumps past 1" in lines) == starts
    if starts:
        for sigma_w, sigma_b in np.asarray(lines[r"$\chi_1$ jumps past 1"].get_xydata())[:-1:6]:
            assert phase_point(activation, sigma_w - 0.01, sigma_b).phase == "ordered"
            assert phase_point(activation, sigma_w + 0.01, sigma_b).phase == "chaotic"


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "sigmoid"])
def test_the_picture_has_the_line_and_the_points_within_its_frame(
    activation: str, diagrams: dict[str, PhaseDiagram]
) -> None:
    diagram = diagrams[activation]
    right, top = float(diagram.sigma_w[-1]), float(diagram.sigma_b[-1])
    points = POINTS | {"at_the_far_end": (right, top), "beside_it": (right, 0.96 * top), "above": (1.0, 2 * top)}
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    draw_phase(axes, diagram, points)
    figure.savefig(io.BytesIO(), format="png")
    assert (axes.get_xlabel(), axes.get_ylabel()) == (r"$\sigma_w$", r"$\sigma_b$")
    assert axes.get_xlim() == (diagram.sigma_w[0], right)
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
    assert lines["critical"][0][0] == diagram.line[0].sigma_w
    (dot,) = (at for label, at in lines.items() if label in ("its start", "where q stays, too"))
    np.testing.assert_array_equal(dot, [diagram.line[0][:2]])
    texts = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}  # without the lines to their points
    assert {"ordered", "chaotic", "at_the_far_end", "beside_it"} <= texts.keys()
    assert ("xavier_normal:gain=1, lecun[red]" in texts) == (activation != "sigmoid")
    share = (1 - diagram.sigma_w[0]) / (right - diagram.sigma_w[0])  # of the axis, at sigma_w = 1
    edges = {"far": (">", 1.0, 0.5 / top), "above": ("^", share, 1.0)}
    for name, (arrow, *place) in edges.items() if activation != "sigmoid" else ():
        assert name in texts
        at = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_marker() == arrow]
        np.testing.assert_allclose(np.concatenate(at), [place])
    frame = axes.get_window_extent()
    for box in texts.values():
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    assert not texts["at_the_far_end"].overlaps(texts["beside_it"])
