"""The phase diagram of an activation in the terminal, and as JSON and CSV.

A map of characters (sigma_w across, sigma_b up), points of the critical line, and where named points lie in it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from string import ascii_uppercase, digits
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.report.as_csv import cell
from initbench.report.terminal import Line, SchemeName
from initbench.results import document

if TYPE_CHECKING:
    from initbench.mean_field import Critical, PhaseDiagram, PhasePoint

MARKS = {"ordered": ("\N{MIDDLE DOT}", "cyan"), "critical": ("#", "bold"), "chaotic": ("x", "red")}
MEANINGS = {
    "ordered": "gradients vanish with depth, inputs become alike",
    "critical": "signals and gradients keep their size longest",
    "chaotic": "gradients explode with depth, near inputs drift apart",
}
LETTERS = ascii_uppercase + digits  # of the named points in the map; "*" for more of them
MAP_COLUMNS, MAP_ROWS = 61, 25
INDENT = " " * 7
LINE_ROWS = 7
DISTANCES = (0.9, 0.99, 1.01, 1.1)  # of sigma_w to the critical one, as factors
TICKS = 5
NOTE = (
    "Depth scale: the layers in which squared gradients change by a factor e, 1 / |log chi1|. Trainable: six depth"
    " scales, about the depth up to which networks could be trained (Schoenholz et al. 2017; theirs is the"
    " scale of the correlation of two inputs, the same in the ordered phase)."
)

Points = Mapping[str, tuple[float, float]]
Cell = tuple[int, int]  # a row of the map, from below, and a column


def phase_view(diagram: PhaseDiagram, points: Points | None = None, about: str = "") -> RenderableType:
    """Return the map with its legend, the critical line, and `points`: (sigma_w, sigma_b) by name, such as a scheme's.

    `about` says under the points what they are points of. All fits 80 columns.
    A diagram with more columns or rows than the map is thinned out.
    """
    named = _located(diagram.activation, points or {})
    columns, rows = _thinned(len(diagram.sigma_w), MAP_COLUMNS), _thinned(len(diagram.sigma_b), MAP_ROWS)
    marked = _marked(diagram, named, columns, rows)
    parts: list[RenderableType] = [
        Text(f"{diagram.activation}: phases of W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2)", "bold"),
        Text(),
        *_map(diagram, dict(marked.values()), columns, rows),
        Text(),
        *(_legend(phase) for phase in MARKS),
        Text(),
        *_critical_line(diagram),
    ]
    if named:
        parts += [Text(), _points(named, {name: letter for name, (_, letter) in marked.items()})]
        if outside := [name for name in named if name not in marked]:
            parts.append(Line(f"{', '.join(outside)} (outside of the map)", "dim"))
        parts += [Line(about, "dim", indent="")] if about else []
    return Group(*parts, Text(), Line(NOTE, "dim", indent=""))


def phase_document(diagram: PhaseDiagram, points: Points | None = None) -> str:
    """Return all of `diagram` and the named `points` as one strict JSON document; what is infinite is null."""
    named = _located(diagram.activation, points or {})
    content = {
        "activation": diagram.activation,
        "sigma_w": diagram.sigma_w.tolist(),
        "sigma_b": diagram.sigma_b.tolist(),
        "chi1": _finite(diagram.chi1.tolist()),
        "q": _finite(diagram.q.tolist()),
        "depth_scale": _finite(diagram.depth_scale.tolist()),
        "critical_line": [_finite(point._asdict()) for point in diagram.line],
        "points": [
            {"name": name} | _finite(point._asdict() | {"trainable_depth": point.trainable_depth})
            for name, point in named.items()
        ],
    }
    return document(content)


def phase_csv(diagram: PhaseDiagram, points: Points | None = None) -> str:
    """Return a row for each place of `diagram`, sigma_b by sigma_b, then one for each named point; infinite is inf."""
    from initbench.mean_field import phase_of

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("sigma_b", "sigma_w", "q", "chi1", "depth_scale", "phase", "point"))
    grids = (diagram.q.tolist(), diagram.chi1.tolist(), diagram.depth_scale.tolist())
    for sigma_b, *rows in zip(diagram.sigma_b.tolist(), *grids, strict=True):
        for sigma_w, q, chi, scale in zip(diagram.sigma_w.tolist(), *rows, strict=True):
            writer.writerow((sigma_b, sigma_w, q, chi, scale, phase_of(chi), ""))
    for name, point in _located(diagram.activation, points or {}).items():
        writer.writerow((point.sigma_b, point.sigma_w, point.q, point.chi1, point.depth_scale, point.phase, cell(name)))
    return text.getvalue()


def _located(activation: str, points: Points) -> dict[str, PhasePoint]:
    from initbench.mean_field import phase_point

    return {name: phase_point(activation, *point) for name, point in points.items()}


def _finite(value: Any) -> Any:
    """Return `value`, a number, text, or lists and mappings of such, with None for what is infinite."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isinf(value) else value


def _map(diagram: PhaseDiagram, marked: Mapping[Cell, str], columns: list[int], rows: list[int]) -> list[Text]:
    """Return the lines of the map, sigma_b downwards, and its axis."""
    from initbench.mean_field import phase_of

    critical = _critical_cells(diagram, columns, rows)
    labels = {tick: f"{diagram.sigma_b[rows[tick]]:.3g}" for tick in _ticks(len(rows))}
    width = max(5, *map(len, labels.values()))
    lines = [Text(f"{'sigma_b':>{width + 2}}", "dim")]
    for place in reversed(range(len(rows))):
        line = Text(f"{labels.get(place, ''):>{width}} {'+' if place in labels else '|'}")
        for across, column in enumerate(columns):
            phase = phase_of(float(diagram.chi1[rows[place], column]))
            mark, style = MARKS["critical" if (place, across) in critical else phase]
            letter = marked.get((place, across))
            line.append(letter or mark, "bold green" if letter else style)
        lines.append(line)
    return [*lines, *_axis([float(diagram.sigma_w[column]) for column in columns], " " * (width + 1))]


def _axis(sigma_w: Sequence[float], indent: str) -> list[Text]:
    """Return the rule under the map, and the numbers under it with their name."""
    rule, numbers = list("-" * len(sigma_w)), [" "] * len(sigma_w)
    for tick in _ticks(len(sigma_w)):
        label = f"{sigma_w[tick]:.3g}"
        first = max(0, min(tick, len(sigma_w) - len(label)))
        rule[tick] = "+"
        numbers[first : first + len(label)] = label
    line = Text(f"{indent} {''.join(numbers)}  ")
    return [Text(f"{indent}+{''.join(rule)}"), line.append("sigma_w", "dim")]


def _ticks(count: int) -> list[int]:
    """Return the places of `count` in a row that carry a number."""
    parts = min(TICKS, count) - 1
    return [round(part * (count - 1) / parts) for part in range(parts + 1)]


def _thinned(count: int, most: int) -> list[int]:
    """Return at most `most` indices below `count`, evenly spread, with the first and the last."""
    shown = min(count, most)
    return [round(place * (count - 1) / (shown - 1)) for place in range(shown)]


def _critical_cells(diagram: PhaseDiagram, columns: list[int], rows: list[int]) -> set[Cell]:
    """Return the (row, column) places in the map that the critical line goes through: with none left out in a row."""
    import numpy as np

    if not diagram.line:
        return set()
    sigma_w, sigma_b = diagram.sigma_w[columns], diagram.sigma_b[rows]
    along = np.array([point.sigma_b for point in diagram.line])
    across = np.array([point.sigma_w for point in diagram.line])
    half = (sigma_b[1] - sigma_b[0]) / 2
    cells = set()
    for place, value in enumerate(sigma_b):
        low, high = value - half, value + half
        if _vertical(diagram) or (high >= along[0] and low <= along[-1]):
            ends = _cell(sigma_w, np.interp(low, along, across)), _cell(sigma_w, np.interp(high, along, across))
            cells |= {(place, column) for column in range(min(ends), max(ends) + 1)}
    return cells


def _vertical(diagram: PhaseDiagram) -> bool:
    """Return whether chi1 does not depend on q, so that the phases part at one sigma_w, whatever sigma_b is."""
    from initbench.mean_field.variance import HOMOGENEOUS

    return diagram.activation in HOMOGENEOUS


def _cell(axis: Any, value: float) -> int:
    """Return the place on the ascending `axis` that is nearest to `value`."""
    return int(abs(axis - value).argmin())


def _marked(
    diagram: PhaseDiagram, named: Mapping[str, PhasePoint], columns: list[int], rows: list[int]
) -> dict[str, tuple[Cell, str]]:
    """Return for each named point within the map its place and its letter; points in one place share it."""
    sigma_w, sigma_b = diagram.sigma_w[columns], diagram.sigma_b[rows]
    letters: dict[Cell, str] = {}
    found = {}
    for name, point in named.items():
        if sigma_w[0] <= point.sigma_w <= sigma_w[-1] and sigma_b[0] <= point.sigma_b <= sigma_b[-1]:
            place = _cell(sigma_b, point.sigma_b), _cell(sigma_w, point.sigma_w)
            letter = letters.setdefault(place, LETTERS[len(letters)] if len(letters) < len(LETTERS) else "*")
            found[name] = place, letter
    return found


def _legend(phase: str) -> Text:
    mark, style = MARKS[phase]
    return Text.assemble(INDENT, (mark, style), f" {phase}: {MEANINGS[phase]}")


def _critical_line(diagram: PhaseDiagram) -> list[RenderableType]:
    if not diagram.line:
        return [Text("The critical line does not pass through these ranges.")]
    table = _table("sigma_b", "sigma_w", "q*", *(f"at x{distance:g}" for distance in DISTANCES))
    for place in _thinned(len(diagram.line), LINE_ROWS) if len(diagram.line) > 1 else [0]:
        table.add_row(*_line_cells(diagram.activation, diagram.line[place]))
    title = "Critical line, chi1 = 1, and depth scales at multiples of its sigma_w"
    return [Text(title, "bold"), table]


def _line_cells(activation: str, point: Critical) -> list[str]:
    from initbench.mean_field import phase_point
    from initbench.mean_field.variance import HOMOGENEOUS

    q = "any" if activation in HOMOGENEOUS else f"{point.q:.4g}"
    beside = [phase_point(activation, distance * point.sigma_w, point.sigma_b) for distance in DISTANCES]
    return [f"{point.sigma_b:.4g}", f"{point.sigma_w:.5g}", q, *(_layers(near.depth_scale) for near in beside)]


def _points(named: Mapping[str, PhasePoint], letters: Mapping[str, str]) -> Table:
    table = _table("", "point", "sigma_w", "sigma_b", "phase", "chi1", "depth scale", "trainable")
    table.columns[1].justify, table.columns[1].no_wrap = "left", False
    table.columns[4].justify = "left"
    for name, point in named.items():
        table.add_row(
            Text(letters.get(name, ""), "bold green"),
            SchemeName(name),
            f"{point.sigma_w:.4g}",
            f"{point.sigma_b:.4g}",
            Text(point.phase, MARKS[point.phase][1]),
            f"{point.chi1:.4g}",
            _layers(point.depth_scale),
            _layers(point.trainable_depth),
        )
    return table


def _layers(count: float) -> str:
    """Return a number of layers with as many digits as matter."""
    if math.isinf(count):
        return "no limit"
    return f"{count:.1f}" if count < 100 else f"{count:,.0f}" if count < 1e6 else f"{count:.1e}"


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
