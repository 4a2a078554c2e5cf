"""`initbench inspect`: what starting values do to signal and gradient, before any training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from initbench.cli import arguments
from initbench.cli.arguments import complete_schemes
from initbench.cli.interrupts import clean_up_first
from initbench.cli.output import check_writable, write
from initbench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from initbench.config import Config
    from initbench.events import Event, InitStep
    from initbench.results import Inspection

DEFAULT_WIDTH = 256
FILE_WIDTH = 120  # characters of a table that is written to a file


class Format(StrEnum):
    """How an inspection is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def complete_inputs(incomplete: str) -> list[str]:
    """Complete the name of an input."""
    from initbench.config.inspect_section import GAUSSIAN
    from initbench.data import datasets

    return [name for name in (GAUSSIAN, *datasets.all_names()) if name.startswith(incomplete)]


def complete_activations(incomplete: str) -> list[str]:
    """Complete the name of an activation."""
    from initbench.activations import MODULES

    return [name for name in MODULES if name.startswith(incomplete)]


def inspect(
    config: Annotated[
        Path | None,
        typer.Argument(help="A YAML config, as configs/sigmoid-histograms.yaml; defaults if none.", readable=False),
    ] = None,
    config_option: Annotated[
        Path | None, typer.Option("--config", help="The same as CONFIG, as compare has it.", readable=False)
    ] = None,
    schemes: Annotated[
        str | None,
        typer.Option(help="Comma-separated; inspect.schemes or init.scheme if none.", autocompletion=complete_schemes),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option("--input", help="A dataset, such as mnist, or gaussian: N(0, 1).", autocompletion=complete_inputs),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="How many inputs to send through (inspect.samples).")] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", metavar="PATTERN", help="Show these layers only, such as 'fc*'. Repeatable."),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(
            metavar="ACTIVATION",
            help="Show the phases of wide networks with this activation instead, and where the schemes lie.",
            autocompletion=complete_activations,
        ),
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Show the weights too: size, symmetry, gradient, first update.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw it to this .png, .svg or .pdf too.")] = None,
    set_: arguments.Overrides = None,
    plugin: arguments.Plugins = None,
    seed: Annotated[int | None, typer.Option(help="The seed of every random stream.")] = None,
    device: arguments.Device = None,
    no_fallback: arguments.NoFallback = False,
    data_dir: arguments.DataDir = None,
    format_: Annotated[Format, typer.Option("--format", help="table, or every number as json or csv.")] = Format.table,
    out: Annotated[Path | None, typer.Option(help="Write the result to this file instead of stdout.")] = None,
) -> None:
    """See what an initialization does to signal and gradient, layer by layer, beside theory. Nothing is trained."""
    if config is not None and config_option is not None:
        raise UsageError(f"two configs, {str(config)!r} and {str(config_option)!r}; name one.")
    loaded = arguments.load(
        config or config_option, set_, no_fallback, input=input_, samples=samples, seed=seed, device=device
    )
    chosen = _schemes(schemes)
    _check_files(plot, out)
    if phase is not None:
        if layers or details or input_ or samples:
            raise UsageError("--phase measures nothing: leave out --input, --samples, --layers and --details.")
        _show_phase(phase, loaded, chosen, plot, format_, out)
        return
    from initbench.inspection import inspect_schemes

    with Status() as status:
        inspection = inspect_schemes(
            loaded, schemes=chosen, layers=layers or (), data_dir=data_dir, emit=status.emit, progress=status.update
        )
    _show(inspection, details, format_, out)
    if plot is not None:
        from initbench.report.plots.figure import save
        from initbench.report.plots.inspection import inspection_figure

        save(inspection_figure(inspection), plot)


def _schemes(text: str | None) -> list[str]:
    """Return the schemes that are asked for, all of which parse."""
    from initbench.schemes import distinct

    return [] if text is None else distinct(label for label in (part.strip() for part in text.split(",")) if label)


def _check_files(plot: Path | None, out: Path | None) -> None:
    if plot is not None:
        from initbench.report.plots.figure import check_format

        check_format(plot)
        check_writable(plot, "--plot")
    if out is not None:
        check_writable(out)
        if plot is not None and out.resolve() == plot.resolve():
            raise UsageError(f"--plot and --out are the same file, {str(out)!r}; name two.")


def _show(inspection: Inspection, details: bool, format_: Format, out: Path | None) -> None:
    from initbench.report.signals_export import inspection_csv, inspection_document
    from initbench.report.signals_view import inspection_view

    if format_ is Format.table:
        _print(inspection_view(inspection, details=details), out)
    else:
        _write(inspection_document(inspection) if format_ is Format.json else inspection_csv(inspection), out)


def _show_phase(
    activation: str, config: Config, schemes: list[str], plot: Path | None, format_: Format, out: Path | None
) -> None:
    """Show the phase diagram of `activation` and where the schemes lie in it."""
    from initbench.mean_field import phase_diagram
    from initbench.report.phase_view import phase_csv, phase_document, phase_view
    from initbench.signals.phase_points import phase_points

    diagram = phase_diagram(activation)
    listed = schemes or list(config.inspect.schemes)
    width = _hidden_width(config)
    points = phase_points(listed, width=width, bias=config.init.bias, activation=activation)
    if format_ is Format.table:
        about = f"points: layers of {width} inputs and units, biases {config.init.bias}"
        _print(phase_view(diagram, points, about), out)
    else:
        _write(phase_document(diagram, points) if format_ is Format.json else phase_csv(diagram, points), out)
    if plot is not None:
        from initbench.report.plots.figure import save
        from initbench.report.plots.phase import phase_figure

        save(phase_figure(diagram, points), plot)


def _hidden_width(config: Config) -> int:
    """Return the width of the model's last hidden layer; of the default model's, where it has none."""
    hidden = getattr(config.model.options, "hidden", ())
    widths = [hidden] if isinstance(hidden, int) else list(hidden)
    return widths[-1] if widths else DEFAULT_WIDTH


def _print(view: RenderableType, out: Path | None) -> None:
    """Print a view as wide and as colourful as the terminal is; plain and of one width to a file."""
    if out is None:
        from initbench.cli.consoles import stdout

        stdout().print(view)
        return
    import io

    from initbench.report.page import Page

    page = Page(file=io.StringIO(), width=FILE_WIDTH, highlight=False, color_system=None)
    page.print(view)
    write(out, page.file.getvalue())  # type: ignore[attr-defined] # it is a StringIO


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
    else:
        write(out, text)


class Status:
    """A line on stderr that says what is being done, on a terminal, and goes with it; notices stay."""

    def __init__(self) -> None:
        from initbench.cli.consoles import stderr

        self._console = stderr()
        self._line = self._console.status("")

    def __enter__(self) -> Self:
        clean_up_first()  # from here on, an interrupt gives the terminal back
        if self._console.is_terminal:
            self._line.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._line.stop()

    def update(self, step: InitStep) -> None:
        """Say what is being done."""
        from rich.text import Text

        self._line.update(Text(f"{step.text} ({step.done} of {step.total})"))

    def emit(self, event: Event) -> None:
        """Show a notice or a download."""
        from initbench.cli.consoles import warn
        from initbench.events import Downloading, Notice

        if isinstance(event, Notice):
            warn(event.text)
        elif isinstance(event, Downloading):
            self._line.update(f"downloading, {event.done_bytes / 1e6:.1f} MB so far")
