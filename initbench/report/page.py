"""What is printed on: a console that shows no control character, whatever a view hands it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from initbench.results import printable


class Page(Console):
    """A console on which text stays text: names with escape sequences, overrides or zero widths steer nothing.

    Views make texts from files `shown` on one line; this is for everything else, down to a progress bar's label.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of `renderable`, every text in it harmless: each line of it `printable`."""
        if isinstance(renderable, str):
            renderable = self.render_str(renderable)
        return super().render(_harmless(renderable) if isinstance(renderable, Text) else renderable, options)


def _harmless(text: Text) -> Text:
    """Return the text without control characters but line breaks, as long as it was: its styles keep their places."""
    lines = text.plain.split("\n")
    if all(map(str.isprintable, lines)):
        return text
    harmless = text.copy()
    harmless.plain = "\n".join(map(printable, lines))
    return harmless
