"""Measure one contestant in this process: python -m rivals NAME RECIPE BEGUN. Prints what it measured as JSON."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from typing import TextIO

from rivals import CONTESTANTS
from rivals.recipe import Measured, Recipe, Stopwatch


def main(name: str, recipe: str, begun: str, out: TextIO) -> None:
    """Print the measurement as one line."""
    contestant = CONTESTANTS[name]
    module, _, function = contestant.entry.partition(":")
    entry = getattr(importlib.import_module(f"rivals.{module}"), function)
    measured: Measured = entry(Recipe(**json.loads(recipe)), Stopwatch(float(begun)), **contestant.options)
    print(json.dumps(dataclasses.asdict(measured)), file=out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.stdout)
