"""LaTeX: the scheme table as a floating table that needs no package, with caption and verdicts."""

from __future__ import annotations

from initbench.report import cells, exporter
from initbench.results import Comparison, printable

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after a line's \\ a bare [ would be read as its optional argument, and a * as its star
        "]": "{]}",
        "*": "{*}",
        **{special: f"\\{special}" for special in "&%$#_{}"},
    }
)


@exporter("latex", aliases=("tex",))
def as_latex(comparison: Comparison) -> str:
    r"""Return a table environment: tabular, then the verdicts, with what was measured as its \caption."""
    columns = cells.columns(comparison)
    rows = [_row(list(row)) for row in zip(*(column.cells for column in columns), strict=True)]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(cells.caption(comparison))}. {escape(cells.method(comparison))}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\hline",
        _row([column.heading for column in columns]),
        r"\hline",
        *rows,
        r"\hline",
        r"\end{tabular}",
        *(rf"\par {escape(pair.verdict)}" for pair in comparison.pairs),
        *(rf"\par Warning: {escape(warning)}" for warning in comparison.warnings),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return `text` so that LaTeX sets it as it is, on one line."""
    return " ".join(printable(text).split()).translate(_ESCAPES)


def _row(texts: list[str]) -> str:
    return " & ".join(map(escape, texts)) + r" \\"
