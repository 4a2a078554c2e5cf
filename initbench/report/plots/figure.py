"""What all pictures share: how they are saved, colours, text that is shown as it is. Never pyplot: no global state."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke

from initbench.atomic import write_atomically
from initbench.errors import InitbenchError, UsageError
from initbench.results import printable

# nothing in a file but the picture, so that the same picture is the same file
METADATA: Mapping[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
DPI = 150

# Okabe & Ito 2008, "Color universal design": told apart by the colour-blind; without their yellow, too light for lines
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FARTHEST = 1e300  # what is drawn of larger numbers, beyond which matplotlib overflows
HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground="white")]  # around text on a picture
LOG_FROM = 10  # times the smallest value: above, an axis is logarithmic


def check_format(path: Path) -> str:
    """Return the suffix of `path`, which says the format; raises UsageError for another one than .png, .svg, .pdf."""
    suffix = path.suffix.lower()
    if suffix not in METADATA:
        given = f"has the suffix {path.suffix!r}" if path.suffix else "has no suffix"
        raise UsageError(f"the picture {str(path)!r} {given}, allowed: {', '.join(METADATA)}.")
    return suffix


def rendered(figure: Figure, suffix: str) -> bytes:
    """Return `figure` as a file of the format `suffix`; the same figure gives the same bytes."""
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    as_text = mpl.rc_context({"svg.hashsalt": "initbench", "svg.fonttype": "none", "pdf.fonttype": 42})
    with as_text, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")  # a name in a script no font here has
        figure.savefig(content, format=suffix[1:], dpi=DPI, metadata=METADATA[suffix])
    return content.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path`, whole or not at all, in the format of its suffix.

    Raises UsageError for an unknown suffix, InitbenchError where the file cannot be written.
    """
    content = rendered(figure, check_format(path))
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InitbenchError(f"the picture {str(path)!r} cannot be written: {error.strerror or error}.") from error


def colour(index: int) -> str:
    """Return the colour of the scheme at position `index`, the same in every panel."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Return the marker of the scheme at position `index`: another one where the colours begin again."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def plain(text: str, most: int = 0) -> str:
    """Return `text` as matplotlib shows it unread, printable: a $ begins no formula.

    Beyond `most` characters its middle goes.
    """
    text = printable(text)
    if most and len(text) > most:
        kept = most - 1
        text = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return text.replace("$", r"\$")


def wrapped(text: str, width: int) -> str:
    """Return `text` as `plain`, broken between its words into lines of at most `width` characters."""
    return "\n".join(map(plain, textwrap.wrap(text, max(width, 1))))


def numbers(values: Iterable[float | None]) -> list[float]:
    """Return the values with NaN, which leaves a gap in a line, for None."""
    return [math.nan if value is None else min(value, FARTHEST) for value in values]


def fit_axis(axes: Axes, values: Iterable[float | None]) -> None:
    """Give `axes` a y axis for `values`, none of them negative: from 0, logarithmic if they span more than a decade.

    Where no value is known it says so. A 0 is no point of a logarithmic axis: it leaves a gap.
    """
    known = [value for value in values if value is not None]
    positive = [value for value in known if value > 0]
    if not known:
        axes.text(0.5, 0.5, "no finite values", ha="center", va="center", color="0.5", transform=axes.transAxes)
        axes.set_yticks([])
    elif positive and max(positive) / LOG_FROM > min(positive):
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(_decades_around(positive))
    else:
        highest = min(1.06 * max(known), FARTHEST)
        axes.set_ylim(0, highest if highest > 1 / FARTHEST else 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")


def _decades_around(positive: Iterable[float]) -> tuple[float, float]:
    """Return the limits of a logarithmic axis, at most 1 / FARTHEST to FARTHEST."""
    farthest = math.log10(FARTHEST)
    logs = [min(max(math.log10(value), -farthest), farthest) for value in positive]
    margin = 0.04 * (max(logs) - min(logs))
    return 10.0 ** (min(logs) - margin), 10.0 ** (max(logs) + margin)


def quiet(axes: Axes) -> None:
    """Take away what carries no information: the upper and the right edge; add a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
