"""What came of training a run again: the bits agree, or what differs first, by how much, and what is different here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from initbench.report.compact import counted
from initbench.report.terminal import Line, stand_in_notice
from initbench.results import document, printable

if TYPE_CHECKING:
    from initbench.provenance import Replayed

NOT_KNOWN = "nothing that is recorded. `initbench runs verify` tells whether the stored files are what they were"


def replay_view(replayed: Replayed) -> RenderableType:
    """Return the verdict in one line; where the bits differ, what differs and what may be the reason."""
    notice = stand_in_notice(replayed.run.dataset)
    if replayed.agrees:
        return Group(*notice, Line(f"the bits agree: {_compared(replayed)}", "bold green"))
    lines: list[RenderableType] = [*notice, Line(f"the bits differ: {differing(replayed)}", "bold red")]
    if replayed.first is not None and replayed.weights is not None:
        lines.append(Line(_of_weights(replayed)))
    lines += [
        Text("what is different here:"),
        *(Line(f"  {printable(line)}") for line in replayed.here or (NOT_KNOWN,)),
    ]
    return Group(*lines)


def _compared(replayed: Replayed) -> str:
    return f"{counted(len(replayed.again.history), 'epoch')}, {counted(replayed.tensors, 'tensor')}"


def differing(replayed: Replayed) -> str:
    """Return the first difference in words."""
    return f"first in {printable(replayed.first)}" if replayed.first is not None else _of_weights(replayed)


def _of_weights(replayed: Replayed) -> str:
    weights = replayed.weights
    if weights is None:
        return "the weights agree"
    if weights.largest is None:
        return f"the weights {printable(weights.name)} are others in kind"
    return f"largest difference of weights: {weights.largest:.2g}, in {printable(weights.name)}"


def replay_document(replayed: Replayed) -> str:
    """Return the same as one JSON document."""
    weights = replayed.weights
    content: dict[str, Any] = {
        "run_id": replayed.run.run_id,
        "folder": replayed.run.run_dir,
        "agrees": replayed.agrees,
        "epochs": len(replayed.again.history),
        "tensors": replayed.tensors,
        "first_difference": replayed.first,
        "weights": None if weights is None else {"name": weights.name, "largest_difference": weights.largest},
        "different_here": list(replayed.here),
    }
    return document(content)
