"""An inspection in the terminal: the histograms side by side, each scheme's numbers beside theory, the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from initbench.report import cells
from initbench.report.compact import compact, counted
from initbench.report.histogram_grid import HistogramGrid
from initbench.report.signal_axes import scheme_name
from initbench.report.signal_legend import legend
from initbench.report.signal_tables import formulas, layer_table, weight_table
from initbench.report.terminal import Line, stand_in_notice
from initbench.report.training_signals import signal_rows_view
from initbench.results import Inspection, NetworkTheory, SignalReport, shown
from initbench.results.signals import VerdictKind

__all__ = ["caption", "inspection_view", "model_text", "signal_rows_view"]

GOOD: frozenset[VerdictKind] = frozenset({"healthy", "keeps a spread"})
USUAL = ("bias",)  # options of models that are worth a word where they are off
FATAL: frozenset[VerdictKind] = frozenset({"not finite", "no signal", "symmetric", "dies"})


def inspection_view(inspection: Inspection, *, details: bool = False) -> RenderableType:
    """Return what `inspect` shows: caption, histograms, each scheme's layers and network line, legend, the verdicts.

    With `details` each scheme's weights too: their size beside the formula, symmetry, gradient, update.
    """
    inspection = shown(inspection)
    parts: list[RenderableType] = [
        *(stand_in_notice(inspection.dataset) if inspection.dataset else ()),
        Line(caption(inspection), "bold", indent=""),
    ]
    if any(report.layers for report in inspection.reports):
        parts += [Text(), HistogramGrid(inspection)]
    for report in inspection.reports:
        parts += [Text(), *_scheme_section(report, details)]
    if meanings := legend(inspection.reports, details=details):
        parts += [Text(), Line(meanings, "dim", indent="")]
    return Group(*parts, Text(), *_verdicts(inspection.reports))


def _scheme_section(report: SignalReport, details: bool) -> Iterator[RenderableType]:
    yield Line(scheme_name(report), "bold cyan")
    if report.layers:
        yield layer_table(report.layers, details=details)
        yield Text()
    if details and report.weights:
        yield weight_table(report.weights)
        yield Text()
        yield from formulas(report)
    yield from map(Line, _network(report))
    if report.theory is not None:
        yield Line(_theory(report.theory))
    elif report.no_theory is not None:
        yield Line(f"no theory beside it: {report.no_theory}")
    yield from (Line(f"note: {note}", "dim") for note in report.notes)


def caption(inspection: Inspection) -> str:
    """Return what was inspected: network, input, samples, seed, device."""
    first = inspection.reports[0] if inspection.reports else None
    parts = [f"{model_text(inspection.config.get('model'))}, {counted(inspection.parameters, 'parameter')}"]
    if first is not None:
        parts += [first.input, *_samples(first), *([] if first.seed is None else [f"one draw, seed {first.seed}"])]
    data = inspection.dataset
    if data is not None and (data.stand_in_for or not (first and data.name in first.input)):
        parts.insert(1, cells.dataset(data))
    return "; ".join((*parts, inspection.device))


def _samples(report: SignalReport) -> list[str]:
    """Return the number of samples, where the input does not say it, and of those whose gradient was taken."""
    known = report.input.startswith(f"{report.samples:,} ")
    text = [] if known else [counted(report.samples, "sample")]
    return text + ([f"gradients of {report.gradient_samples:,}"] if report.gradient_samples != report.samples else [])


def model_text(model: Any) -> str:
    """Return a config's model in words: mlp (hidden 5 x 100, activation sigmoid); what is off or empty is left out."""
    if not isinstance(model, Mapping):
        return "model"
    options = [
        key if value is True else f"{key} {_value(value)}"
        for key, value in model.items()
        if key != "name" and value not in (None, False, 0, "none", [], {}) and not (value is True and key in USUAL)
    ]
    options += [f"no {key}" for key in USUAL if model.get(key) is False]
    name = str(model.get("name", "model"))
    return f"{name} ({', '.join(options)})" if options else name


def _value(value: Any) -> str:
    """Return a setting in words; equal numbers in a row are counted: [100, 100, 10] is 2 x 100 + 10."""
    if isinstance(value, Mapping) and value.keys() == {"width", "depth"}:
        return f"{value['depth']} x {value['width']}"
    if not isinstance(value, (list, tuple)):
        return str(value)
    runs = [(item, len(list(same))) for item, same in groupby(value)]
    return " + ".join(f"{count} x {_value(item)}" if count > 1 else _value(item) for item, count in runs)


def _network(report: SignalReport) -> Iterator[str]:
    """Yield one line with the gains, the Jacobians and the loss, as far as they are known."""
    gains = {
        "pre-activations": report.forward_gain,
        "spread between inputs": report.sample_gain,
        "gradient": report.backward_gain,
    }
    factors = ", ".join(f"{name} x {compact(gain)}" for name, gain in gains.items() if gain is not None)
    others = {"mean singular value of the Jacobians": report.jacobian_mean, "loss": report.loss}
    known = [f"{name} {compact(value)}" for name, value in others.items() if value is not None]
    if text := "; ".join(([f"per layer: {factors}"] if factors else []) + known):
        yield text


def _theory(theory: NetworkTheory) -> str:
    """Return what mean-field theory says of the network, in words."""
    ends = "grows without end" if theory.q is None else f"ends at q = {compact(theory.q)}"
    critical = theory.critical_sigma_w
    edge = "no critical sigma_w" if critical is None else f"critical sigma_w {compact(critical)}"
    return (
        f"theory of {theory.activation} at sigma_w {compact(theory.sigma_w)}, sigma_b {compact(theory.sigma_b)}: "
        f"{theory.phase}, chi1 {compact(theory.chi1)}, variance {ends}, {_depth(theory)}; "
        f"{edge}"
    )


def _depth(theory: NetworkTheory) -> str:
    """Return the depth scale, which is about gradients, with the rule of thumb of Schoenholz et al. 2017."""
    if theory.depth_scale is None or theory.trainable_depth is None:
        return "depth scale: no limit"
    scale = f"{compact(theory.depth_scale)} layers" if theory.depth_scale >= 1 else "under 1 layer"
    six = compact(theory.trainable_depth) if theory.trainable_depth >= 1 else "under 1"
    return f"depth scale {scale} (times six, {six}: about as deep as such networks train)"


def _verdicts(reports: Iterable[SignalReport]) -> Iterator[RenderableType]:
    for report in reports:
        yield Line(f"{scheme_name(report)}: {report.verdict or 'no verdict'}", _colour(report))


def _colour(report: SignalReport) -> str:
    """Return green for what is good, red for what cannot be trained, yellow for the rest."""
    kinds = {verdict.kind for verdict in report.verdicts}
    if not kinds:
        return ""
    return "green" if kinds <= GOOD else "red" if kinds & FATAL else "yellow"
