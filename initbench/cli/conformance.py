"""`initbench conformance`: does a scheme do what it claims? For the built-in ones, or a user's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from initbench.cli import arguments
from initbench.cli.arguments import complete_schemes
from initbench.cli.interrupts import clean_up_first
from initbench.cli.run import Format
from initbench.errors import UsageError

if TYPE_CHECKING:
    from initbench.events import InitStep
    from initbench.schemes import Scheme, SchemeSpec

PATIENCE_S = 2  # without a bar


def conformance(
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            help="Check this scheme, every finding shown: name or name:key=value. Repeatable. All, in short, if none.",
            autocompletion=complete_schemes,
        ),
    ] = None,
    plugin: arguments.Plugins = None,
    format_: Annotated[
        Format, typer.Option("--format", help="table, or json: one document with every finding.")
    ] = Format.table,
) -> None:
    """Check that schemes do what they claim: a table of what is claimed, what was measured, pass or fail.

    With --plugin and no --scheme, the schemes that the plugins registered. Exit code 1 if a check failed.
    """
    specs = _chosen(scheme, bool(plugin))
    from initbench.cli.consoles import stdout
    from initbench.conformance import Checked, check
    from initbench.report.conformance_view import document, full_view, summary_view

    with Bar(len(specs)) as bar:
        checked = [Checked(spec.label, tuple(check(spec, bar.of(spec, done)))) for done, spec in enumerate(specs)]
    if format_ is Format.json:
        typer.echo(document(checked), nl=False)
    else:
        stdout().print(full_view(checked) if scheme or plugin else summary_view(checked))
    if any(one.failed for one in checked):
        raise typer.Exit(1)


def _chosen(texts: list[str] | None, with_plugins: bool) -> list[SchemeSpec]:
    """Return the schemes that are asked for; raises UsageError where the plugins have none."""
    from initbench.schemes import distinct, parse, schemes

    if texts:
        return [parse(text) for text in distinct(texts)]
    built_in = [name for name in schemes if getattr(schemes[name].fill, "__module__", "").startswith("initbench.")]
    own = [name for name in schemes if name not in built_in]
    if with_plugins and not own:
        raise UsageError("the plugins registered no scheme; name one with --scheme, or leave out --plugin.")
    return [_with_defaults(schemes[name]) for name in (own if with_plugins else schemes)]


def _with_defaults(scheme: Scheme) -> SchemeSpec:
    """Return the scheme with its defaults as they are: that they go together is for the checks to find."""
    from initbench.schemes import SchemeSpec

    return SchemeSpec(scheme.name, {name: parameter.default for name, parameter in scheme.parameters.items()})


class Bar:
    """A bar on stderr that appears where the checks take longer than 2 s, and goes with them."""

    def __init__(self, schemes: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from initbench.cli.consoles import stderr

        console = stderr()
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("", total=schemes)
        self._begin = time.monotonic()

    def __enter__(self) -> Self:
        clean_up_first()  # from here on, an interrupt gives the terminal back
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def of(self, spec: SchemeSpec, done: int) -> Callable[[InitStep], None]:
        """Return what hears of the steps of one scheme's check, after `done` schemes."""

        def report(step: InitStep) -> None:
            if time.monotonic() - self._begin > PATIENCE_S:
                self._bar.start()
            described = f"{spec.name}: {step.text}"
            self._bar.update(self._task, description=described, completed=done + step.done / step.total)

        return report
