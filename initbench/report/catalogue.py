"""The catalogue of schemes in the terminal: all of them, and one explained."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.schemes import SchemeSpec, schemes

DEFAULT_ACTIVATION = "relu"
DEFAULT_LAYERS = {"fc1": (256, 784), "fc2": (256, 256), "out": (10, 256)}  # of the default model, 784-256-256-10


def catalogue_view() -> RenderableType:
    """Return a row for each scheme: name and aliases, parameters with defaults, formula and source, what it is for."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_lines=True, header_style="bold")
    table.add_column("scheme", no_wrap=True)
    table.add_column("parameters", no_wrap=True)
    table.add_column("formula and source", overflow="fold", ratio=3)
    table.add_column("good for", overflow="fold", ratio=2)
    for name in schemes:
        scheme = schemes[name]
        names = Text(name, "bold cyan").append("".join(f"\n{alias}" for alias in schemes.aliases_of(name)), "dim")
        parameters = "\n".join(f"{parameter.name}={parameter.default}" for parameter in scheme.parameters.values())
        source = scheme.source.replace("torch.nn.init.", "nn.init.")  # which fits a column at 80
        formula = Text(scheme.formula).append(f"\n{source}", "dim")
        table.add_row(names, parameters, formula, Text(scheme.good_for))
    return table


def scheme_view(spec: SchemeSpec) -> RenderableType:
    """Return what one scheme is, and the std that it gives the weights of each layer of the default model."""
    scheme = spec.scheme
    facts = {
        "aliases": ", ".join(schemes.aliases_of(spec.name)) or "none",
        "parameters": ", ".join(f"{key}={value}" for key, value in spec.params.items()) or "none",
        "formula": scheme.formula,
        "source": scheme.source,
        "good for": scheme.good_for,
        "fits": f"weights with {', '.join(map(str, scheme.dimensions))} dimensions",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    for key, value in facts.items():
        table.add_row(key, Text(value))
    return Group(Text(spec.name, "bold"), Text(scheme.summary), Text(), table, Text(), _stds(spec))


def _stds(spec: SchemeSpec) -> RenderableType:
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
