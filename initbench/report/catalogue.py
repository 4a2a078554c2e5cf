"""The catalogue of schemes: as a table in the terminal, as Markdown and JSON, and one scheme explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.results import document, printable
from initbench.schemes import Scheme, SchemeSpec, schemes
from initbench.schemes.catalogue import value_text

DEFAULT_ACTIVATION = "relu"
BORDER = r"\|"  # what is none, in a cell of a Markdown table
DEFAULT_LAYERS = {"fc1": (256, 784), "fc2": (256, 256), "out": (10, 256)}  # of the default model, 784-256-256-10
FITS = {
    (2, 3, 4, 5): "any layer",
    (2,): "Linear and recurrent layers",
    (3, 4, 5): "convolutions",
}
KINDS: Mapping[str, Callable[[Scheme], bool]] = {
    "rules on one weight": lambda scheme: scheme.level == "weight",
    "rules on a whole model": lambda scheme: scheme.level == "model" and scheme.needs == "nothing",
    "rules that look at data": lambda scheme: scheme.needs != "nothing",
}


def catalogue() -> dict[str, list[Scheme]]:
    """Return the schemes by what they are rules on."""
    return {kind: [schemes[name] for name in schemes if belongs(schemes[name])] for kind, belongs in KINDS.items()}


def catalogue_view() -> RenderableType:
    """Return a table for each kind of rule, with a row for each scheme: what it is called, what it does, what for."""
    return Group(*(_table(kind, members) for kind, members in catalogue().items()))


def _table(kind: str, members: list[Scheme]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        show_lines=True,
        header_style="bold",
        title=Text(f"\n{kind}", "bold"),
        title_justify="left",
    )
    table.add_column("scheme", no_wrap=True, min_width=max(map(len, schemes)))
    table.add_column("formula, parameters, source", overflow="fold", ratio=3)
    table.add_column("good for", overflow="fold", ratio=2)
    for scheme in members:
        table.add_row(*_cells(scheme))
    return table


def _cells(scheme: Scheme) -> tuple[Text, Text, Text]:
    aliases = "".join(f"\n{alias}" for alias in schemes.aliases_of(scheme.name))
    formula = Text(scheme.formula)
    if scheme.parameters:
        formula.append(f"\n{', '.join(_parameters(scheme))}", "cyan")
    formula.append(f"\n{scheme.source.replace('torch.nn.init.', 'nn.init.')}", "dim")  # which fits a column at 80
    good_for = Text(scheme.good_for)
    if scheme.needs != "nothing":
        good_for.append(f"\nneeds {scheme.needs}", "dim")
    return Text(scheme.name, "bold cyan").append(aliases, "dim"), formula, good_for


def _parameters(scheme: Scheme) -> list[str]:
    """Return each parameter with its default, as a scheme's text has it."""
    return [f"{key}={value_text(parameter.default)}" for key, parameter in scheme.parameters.items()]


def fits(scheme: Scheme) -> str:
    """Return what the scheme can fill, in words."""
    if scheme.level == "model":
        return "a whole model" + (", its biases too" if scheme.sets_biases else "")
    return FITS.get(scheme.dimensions, f"weights with {', '.join(map(str, scheme.dimensions))} dimensions")


def catalogue_markdown() -> str:
    """Return the catalogue as Markdown: a table for each kind of rule."""
    return "\n\n".join(_markdown_table(kind, members) for kind, members in catalogue().items())


def _markdown_table(kind: str, members: list[Scheme]) -> str:
    looks_at_data = any(scheme.needs != "nothing" for scheme in members)
    head = f"| {kind} | formula | good for | {'needs | ' if looks_at_data else ''}source |"
    rows = [head, "|---" * (head.count("|") - 1) + "|"]
    for scheme in members:
        names = "<br>".join(_code(name) for name in (scheme.name, *schemes.aliases_of(scheme.name)))
        needs = [scheme.needs] if looks_at_data else []
        texts = [_markdown(text) for text in (scheme.formula, scheme.good_for, *needs, scheme.source)]
        rows.append(f"| {' | '.join([names, *texts])} |")
    return "\n".join(rows)


def _code(name: str) -> str:
    """Return a name as a span of code within a table's cell."""
    return f"`{printable(name).replace('`', chr(39)).replace('|', BORDER)}`"


def _markdown(text: str) -> str:
    return re.sub(r"<(?=[a-zA-Z/!?])", r"\\<", printable(text)).replace("|", BORDER)


def catalogue_json() -> str:
    """Return the catalogue as one JSON document: a list of schemes."""
    return document([_facts(scheme) for members in catalogue().values() for scheme in members])


def _facts(scheme: Scheme) -> dict[str, object]:
    return {
        "name": scheme.name,
        "aliases": schemes.aliases_of(scheme.name),
        "parameters": {key: value_text(parameter.default) for key, parameter in scheme.parameters.items()},
        "level": scheme.level,
        "fits": fits(scheme),
        "needs": scheme.needs,
        "sets_biases": scheme.sets_biases,
        "formula": scheme.formula,
        "source": scheme.source,
        "good_for": scheme.good_for,
        "summary": scheme.summary,
    }


def scheme_view(spec: SchemeSpec) -> RenderableType:
    """Return what one scheme is, and the std that it gives the weights of each layer of the default model."""
    scheme = spec.scheme
    facts = {
        "aliases": ", ".join(schemes.aliases_of(spec.name)) or "none",
        "parameters": ", ".join(f"{key}={value_text(value)}" for key, value in spec.params.items()) or "none",
        "formula": scheme.formula,
        "source": scheme.source,
        "good for": scheme.good_for,
        "fits": fits(scheme),
        "needs": scheme.needs,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    for key, value in facts.items():
        table.add_row(key, Text(value))
    return Group(Text(spec.name, "bold"), Text(scheme.summary), Text(), table, Text(), _stds(spec))


def _stds(spec: SchemeSpec) -> RenderableType:
    if spec.scheme.level == "model":
        return Text("It fills the whole model; what it gives a layer depends on the others.")
    if 2 not in spec.scheme.dimensions:
        return Text("It does not fit the Linear layers of the default model.")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("layer", "weight", "fan in", "fan out", "std by the formula"):
        table.add_column(heading, justify="left" if heading == "layer" else "right", no_wrap=True)
    for layer, (units, inputs) in DEFAULT_LAYERS.items():
        std = spec.std((units, inputs), DEFAULT_ACTIVATION)
        shown = "no formula" if std is None else f"{std:.6f}"
        table.add_row(layer, f"{units} x {inputs}", str(inputs), str(units), shown)
    return Group(Text("In the default model, 784-256-256-10:"), table)
