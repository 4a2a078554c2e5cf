"""Imports point down only, and what must answer at once imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "initbench"

# Each room may import those further down only. README, "How it is built", draws the same picture.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"bench", "inspection", "replaying"},
    {"execution"},
    {"plan", "estimate", "merging", "verification", "sharing"},
    {"relatives"},
    {"work"},
    {"store", "execute", "report"},
    {"identity"},
    {"training", "initial"},
    {"config", "summary", "conformance", "signals"},
    {"schemes", "models", "data"},
    {"layers", "pretraining", "mean_field", "stats", "events", "environment", "revision", "threads", "provenance"},
    {"results", "seeds", "registry", "plugins", "activations"},
    {"errors", "atomic", "spacing", "cores", "makespan", "checksums"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def rooms_imported(file: Path) -> set[str]:
    """Return the rooms of initbench that `file` imports, at its top, in a function or for types only."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("initbench.")}
    return found & LEVEL.keys()


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if room_of(file) != "__init__"]


def test_every_room_has_its_layer() -> None:
    assert {room_of(file) for file in FILES} == set(LEVEL)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    room = room_of(file)
    assert [other for other in rooms_imported(file) if other != room and LEVEL[other] <= LEVEL[room]] == []


HEAVY = ("torch", "torchvision", "scipy", "sklearn", "numpy", "matplotlib")
ANSWERED_AT_ONCE = {  # and with which exit code
    "--help": 0,
    "--version": 0,
    "compare --help": 0,
    "schemes": 0,
    "schemes xavier_uniform": 0,
    "schemes nosuch": 2,
    "run bad.yaml": 2,
    "compare --schemes he,xaviar": 2,
    "compare --schemes he,kaiming": 2,
    "compare --schemes xavier,he --set train.epochs=0": 2,
    "validate good.yaml": 0,
    "runs list": 0,
    "runs --help": 0,
    "runs verify nosuch": 2,
    "runs replay nosuch": 2,
    "data path": 1,
}
PROBE = """
import sys
import initbench
initbench.load_config, initbench.register_scheme
def told(command, code):
    print(command, [name for name in {heavy!r} if name in sys.modules], code, sep=": ", file=sys.stderr)
told("import initbench", None)
from initbench.cli.app import main
for command in {commands!r}:
    sys.argv = ["initbench", *command.split()]
    try:
        main()
    except SystemExit as end:
        told(command, end.code)
"""


def test_what_must_answer_at_once_imports_nothing_heavy(tmp_path: Path) -> None:
    """One process for all: what a command imports stays imported, and its line is the first that says so."""
    (tmp_path / "bad.yaml").write_text("train: {epochs: true}\n")
    (tmp_path / "good.yaml").write_text("seed: 3\n")
    probe = PROBE.format(commands=list(ANSWERED_AT_ONCE), heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    expected = [f"{command}: []: {code}" for command, code in {"import initbench": None, **ANSWERED_AT_ONCE}.items()]
    assert [line for line in ended.stderr.splitlines() if ": [" in line] == expected
