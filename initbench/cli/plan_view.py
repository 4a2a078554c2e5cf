"""What is about to be executed, as the command line shows it before anything is trained, and as JSON."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from initbench.cli.eta import in_words
from initbench.environment import cpu_model
from initbench.events import Planned
from initbench.report import cells
from initbench.report.compact import counted
from initbench.report.page import Page
from initbench.results import document as json_document


def stand_in_panel(event: Planned) -> Panel:
    """Return the panel that says, before any training, that the data is not what was asked for."""
    asked, name = event.dataset.stand_in_for, event.dataset.name
    text = (
        f"{asked} is neither on disk nor reachable: training on {name} instead"
        f" ({cells.sizes(event.dataset)})."
        f" Every number below is about {name}. Get the real data with `initbench data fetch {asked}`,"
        " or make this an error with --no-fallback."
    )
    return Panel(Text(text), title="stand-in data", style="bold red")


def plan_view(event: Planned) -> RenderableType:
    """Return the whole plan: that the data is a stand-in, where it is, and the header."""
    return Group(*([stand_in_panel(event)] if event.dataset.stand_in_for else []), header(event))


def plan_text(event: Planned) -> str:
    """Return the whole plan as plain text, as wide as this terminal."""
    written = io.StringIO()
    Page(file=written, color_system=None, highlight=False).print(plan_view(event))
    return written.getvalue()


def header(event: Planned) -> Table:
    """Return what is about to be executed: config, dataset, parameters, where, for how long, into which folder."""
    dataset = event.dataset
    facts: dict[str, str] = {
        "model": _settings(event.config["model"]),
        "init": _settings({**event.config["init"], **({"scheme": None} if event.runs > 1 else {})}),
        "data": _settings(event.config["data"]),
        "train": _settings(event.config["train"]),
        "dataset": f"{cells.dataset(dataset)}, {cells.sizes(dataset)}",
        "parameters": f"{event.parameters:,}",
        "shard": "{} of {}".format(*event.shard) if event.shard else "",
        "runs": _runs(event),
        "seed" if len(event.seeds) == 1 else "seeds": _seeds(event.seeds),
        "on": where(event),
        "expected": _expected(event),
        "folder": event.run_dir or "",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            table.add_row(name, Text(fact))
    return table


def _runs(event: Planned) -> str:
    """Return how many runs there are of how many epochs; nothing for a single run by itself."""
    if event.runs == 1 and not event.shard:
        return ""
    there = f", {event.reused:,} there already" if event.reused else ""
    return f"{event.runs:,} of {counted(event.epochs, 'epoch')} each{there}"


def _expected(event: Planned) -> str:
    """Return how long it will take; nothing where that is not known."""
    if event.runs == event.reused:
        return "nothing to train"
    return "" if event.expected_s is None else in_words(event.expected_s)


def where(event: Planned) -> str:
    """Return what computes: workers, device and its chip; stacks, where runs are trained together."""
    device = event.device if event.config["device"] != "auto" else f"{event.device} (auto)"
    stacked = ["runs stacked"] if event.engine == "stacked" else []
    if event.executor == "ray":  # its nodes' processors are not known here
        return ", ".join(["Ray", device, *stacked])
    workers = [f"{event.workers} worker processes"] if event.workers > 1 else []
    return ", ".join([*workers, device, _chip(event.device), *stacked])


def _chip(device: str) -> str:
    """Return the name of the processor, or of the GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return cpu_model()


def _seeds(seeds: tuple[int, ...]) -> str:
    if not seeds:  # a shard that holds no runs
        return ""
    first, last = seeds[0], seeds[-1]
    consecutive = len(seeds) > 2 and seeds == tuple(range(first, last + 1))
    return f"{first} to {last}" if consecutive else ", ".join(map(str, seeds))


def _settings(section: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in section.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in ([], {}):
        return "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "-".join(map(str, value)) if all(isinstance(one, int) for one in value) else str(tuple(value))
    return str(value)


def plan_document(event: Planned) -> str:
    """Return the plan as one strict JSON document, a newline at its end."""
    document = {
        "runs": event.runs,
        "reused": event.reused,
        "to_train": event.runs - event.reused,
        "epochs": event.epochs,
        "seeds": event.seeds,
        "shard": event.shard,
        "expected_s": event.expected_s,
        "executor": event.executor,
        "workers": event.workers,
        "device": event.device,
        "engine": event.engine,
        "parameters": event.parameters,
        "dataset": event.dataset.model_dump(mode="json"),
        "config": event.config,
    }
    return json_document(document)
