"""The pictures: every inspection can be drawn without a warning; files are what their suffix says, and repeat."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from report import signal_builders as built

from initbench.errors import InitbenchError, UsageError
from initbench.report.plots.depth import draw_gradient, draw_pre_activations, draw_std
from initbench.report.plots.epochs import epochs_figure
from initbench.report.plots.figure import check_format, colour, marker, plain, rendered, save
from initbench.report.plots.histograms import BARS, MOST_LAYERS, beyond, draw_histograms, drawn_names
from initbench.report.plots.inspection import inspection_figure
from initbench.report.signal_axes import signal_axes
from initbench.results import Histogram, Inspection

MAGIC = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}
SVG = "{http://www.w3.org/2000/svg}"


@functools.cache
def figure_of(case: str) -> Figure:
    return inspection_figure(built.INSPECTIONS[case]())


def texts(case: str) -> list[str]:
    """Every text in the picture of an inspection."""
    root = ElementTree.fromstring(rendered(figure_of(case), ".svg"))  # noqa: S314 - ours
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def shares(cell: Axes) -> list[float]:
    """The heights of a histogram's bars."""
    (stairs,) = cell.patches
    assert isinstance(stairs, StepPatch)
    return list(stairs.get_data().values)


def grid(inspection: Inspection) -> Figure:
    figure = Figure()
    draw_histograms(figure, inspection)
    return figure


@pytest.mark.parametrize("case", built.INSPECTIONS)
def test_every_inspection_is_drawn_with_its_schemes_named(case: str) -> None:
    found = "".join(texts(case))
    for report in built.INSPECTIONS[case]().reports:
        first, *parameters = (report.scheme or "weights as they are").split(":")
        if report.layers and len(first) < 24:
            assert first in found
            assert all(parameter in found for parameter in parameters[:4])


def test_the_figure_has_the_grid_the_panels_and_the_phase_diagram() -> None:
    figure = figure_of("sigmoid")
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert len(titles) == 4 * 6 + 4
    assert titles[:6] == ["fc1 sigmoid", "fc2 sigmoid", "fc3 sigmoid", "fc4 sigmoid", "fc5 sigmoid", "out"]
    assert titles[-4:] == [
        "spread of the activations", "rms of the pre-activations", "rms of the gradient", "phases of sigmoid",
    ]  # fmt: skip
    width = figure.get_axes()[-1].get_xlim()
    assert width[0] <= 0.1 <= 10 <= width[1]  # the sigma_w of all four schemes


def test_without_theory_there_is_no_phase_diagram() -> None:
    titles = [axes.get_title() for axes in figure_of("convolutional").get_axes()]
    assert titles[-1] == "rms of the gradient"


def test_bars_are_shares_on_the_bounds_of_the_activation_one_height_a_row() -> None:
    inspection = built.sigmoid()
    cells = grid(inspection).get_axes()
    for index, cell in enumerate(cells):
        assert sum(shares(cell)) == pytest.approx(1)
        assert len(shares(cell)) == BARS
        if index % 6 < 5:
            assert cell.get_xlim() == pytest.approx((0, 1), abs=1 / BARS)
        assert cell.get_ylim() == cells[index - index % 6].get_ylim()
    heights = shares(cells[4])
    assert min(heights[0], heights[-1]) > 5 * max(heights[5:-5])  # N(0, 1) piles up at 0 and 1
    assert cells[0].texts[0].get_text() == f"std {inspection.reports[0].layers[0].std:.3f}"


def test_an_axis_without_bounds_says_that_its_ends_hold_what_lies_beyond() -> None:
    def labels(column: int) -> list[str]:
        return [label.get_text() for label in grid(built.relu()).get_axes()[column].get_xticklabels()]

    assert [label[0] for label in labels(-4)] == ["0", "1", "≥"]  # relu: nothing lies below 0
    assert [label[0] for label in labels(-1)] == ["≤", "0", "≥"]
    assert [text.get_text() for text in grid(built.sigmoid()).get_axes()[-6].get_xticklabels()] == ["0", "0.5", "1"]


def test_of_many_layers_some_have_a_column() -> None:
    titles = [axes.get_title() for axes in grid(built.deep()).get_axes()[:MOST_LAYERS]]
    assert titles == [f"fc{n} tanh" for n in (1, 12, 23, 34, 45, 56, 67, 78, 89, 100)]


@pytest.mark.parametrize("draw", [draw_std, draw_gradient])
@pytest.mark.parametrize(("case", "scale"), [("sigmoid", "log"), ("deep", "log"), ("broken", "linear")])
def test_a_panel_is_logarithmic_where_values_span_decades(draw: Callable[..., None], case: str, scale: str) -> None:
    axes = Figure().subplots()
    draw(axes, built.INSPECTIONS[case]())
    assert axes.get_yscale() == scale
    drawn = [line.get_color() for line in axes.lines]
    schemes = len(built.INSPECTIONS[case]().reports)
    assert drawn == [colour(index) for index in range(schemes)] * (len(drawn) // schemes)


def test_what_is_not_there_leaves_a_gap() -> None:
    values = (1.0, None, 0.0, 1e-9)
    rows = [built.layer(f"fc{i}", std=value) for i, value in enumerate(values)]
    axes = Figure().subplots()
    draw_std(axes, built.inspection(built.report("he", rows, [])))
    assert [math.isnan(y) for y in axes.lines[0].get_ydata()] == [False, True, False, False]  # type: ignore[arg-type,union-attr]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] > 0


def test_colours_repeat_with_other_markers() -> None:
    looks = [(colour(index), marker(index)) for index in range(40)]
    assert len(set(looks)) == 40
    assert len({colour(index) for index in range(7)}) == 7


@pytest.mark.parametrize("case", built.ROWS)
def test_signals_in_training_are_drawn(case: str) -> None:
    figure = epochs_figure(built.ROWS[case], "[red]$he$, seed 0")
    assert rendered(figure, ".svg").startswith(MAGIC[".svg"])


def test_signals_in_training_have_a_line_a_layer_and_only_the_panels_with_numbers() -> None:
    panels = epochs_figure(built.ROWS["training"], "he").get_axes()
    assert [axes.get_title() for axes in panels] == [
        "std of the activations", "std between inputs", "share of dead units", "norm of the gradient",
    ]  # fmt: skip
    assert [len(axes.lines) for axes in panels] == [4, 4, 4, 4]
    assert list(panels[0].lines[0].get_xdata()) == [0, 1, 2, 4, 6, 8, 10, 15]  # type: ignore[arg-type]
    assert list(panels[2].lines[0].get_ydata()) == pytest.approx([0.02 * e for e in (0, 1, 2, 4, 6, 8, 10, 15)])  # type: ignore[arg-type]


def test_one_look_has_its_epoch_on_the_axis_and_what_was_not_measured_is_left_out() -> None:
    for axes in epochs_figure(built.ROWS["one look"], "he").get_axes():
        assert list(axes.get_xticks()) == [0]
    assert list(epochs_figure(built.ROWS["problem"], "he").get_axes()[0].lines[0].get_xdata()) == [0, 1, 4]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "shares"),
    [(-1.0, 1.0, (0.0, 0.0)), (-0.5, 0.5, (0.1, 0.4)), (0.0, 9.0, (0.2, 0.0)), (2.0, 3.0, (1.0, 0.0))],
)
def test_what_lies_beyond_an_axis(low: float, high: float, shares: tuple[float, float]) -> None:
    """2 values between -1 and 0, 8 between 0 and 1, spread evenly."""
    assert beyond(Histogram(low=-1, high=1, counts=(2, 8)), low, high) == pytest.approx(shares)


def test_a_bar_that_stands_for_much_says_how_much() -> None:
    assert beyond(Histogram(low=3.0, high=3.0, counts=(5,)), 0, 1) == (0.0, 1.0)
    cells = grid(built.relu()).get_axes()
    said = [[text.get_text() for text in cell.texts[:-1]] for cell in cells]
    assert [bool(found) for found in said[:8]] == [False] * 8  # he and xavier lie within
    found = built.relu().reports[2].layers[2].histogram
    assert found is not None
    low, high = signal_axes(built.relu(), drawn_names(built.relu()))["relu"]
    assert said[10] == [f"{100 * beyond(found, low, high)[1]:.0f} %\nbeyond"]


def test_steps_are_steps_on_the_axis() -> None:
    axes = Figure().subplots()
    draw_std(axes, built.convolutional())
    assert axes.get_xlabel() == "step"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "1", "14", "28", "out"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("fc1", "fc1 relu"),
        ("features.downsample.conv1", "features.\ndownsample.conv1\nrelu"),
        ("x" * 20, "xxxxxxxx…xxxxxxx\nrelu"),
    ],
)
def test_a_long_name_above_a_column_is_broken_between_its_parts(name: str, title: str) -> None:
    row = built.relu().reports[0].layers[0].model_copy(update={"name": name})
    assert grid(built.inspection(built.report("he", [row], []))).get_axes()[0].get_title() == title


@pytest.mark.parametrize(("last", "scale"), [(9.0, "linear"), (11.0, "log")])
def test_pre_activations_are_logarithmic_from_a_decade_on(last: float, scale: str) -> None:
    rows = [built.layer("fc1", pre_rms=1.0), built.layer("fc2", pre_rms=last)]
    axes = Figure().subplots()
    draw_pre_activations(axes, built.inspection(built.report("he", rows, [])))
    assert axes.get_yscale() == scale


@pytest.mark.parametrize("suffix", MAGIC)
def test_a_file_is_of_its_kind_and_the_same_each_time(suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix.upper()}"
    for path in (first, second):
        save(inspection_figure(built.inspection(built.constant().reports[0])), path)
    assert first.read_bytes().startswith(MAGIC[suffix])
    assert first.read_bytes() == second.read_bytes()
    save(epochs_figure(built.ROWS["broken"], "another"), first)  # over what is there
    assert first.read_bytes() != second.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_drawing_changes_no_global_setting(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save(inspection_figure(built.broken()), tmp_path / "picture.svg")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["picture.jpg", "picture", "picture.svg.gz", ".png"])
def test_another_suffix_is_refused_with_those_allowed(name: str, tmp_path: Path) -> None:
    for attempt in (lambda path: check_format(path), lambda path: save(Figure(), path)):
        with pytest.raises(UsageError, match=r"allowed: \.png, \.svg, \.pdf\."):
            attempt(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InitbenchError, match=r"the picture '.*none/picture.png' cannot be written: No such file"):
        save(Figure(), tmp_path / "none" / "picture.png")
    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(InitbenchError, match="cannot be written"):
        save(Figure(), folder)


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.svg"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        save(Figure(figsize=(1, 1)), pipe)
        assert os.read(reader, 5) == b"<?xml"
    finally:
        os.close(reader)


def test_names_are_shown_as_they_are() -> None:
    assert plain("$a$") == r"\$a\$"
    assert plain("abcdefghij", 5) == "ab…ij"
    report = built.report("\N{HANGUL SYLLABLE GA} $\\frac$", [built.layer("_$x$ \N{SNOWMAN} {}", std=0.1)], [])
    found = ElementTree.fromstring(rendered(inspection_figure(built.inspection(report)), ".svg"))  # noqa: S314 - ours
    shown = ["".join(element.itertext()) for element in found.iter(f"{SVG}text")]
    assert "\N{HANGUL SYLLABLE GA} $\\frac$" in shown
    assert rendered(inspection_figure(built.inspection(report)), ".png").startswith(MAGIC[".png"])
