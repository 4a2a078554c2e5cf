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
    {"plan", "estimate", "merging", "verification", "sharing", "relatives"},
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
PROBE = """
import sys
sys.argv = ["initbench", *{arguments!r}]
try:
    {statement}
except SystemExit as end:
    code = end.code
else:
    code = None
print([name for name in {heavy!r} if name in sys.modules], code, file=sys.stderr)
"""
RUN_MAIN = "from initbench.cli.app import main; main()"


@pytest.mark.parametrize(
    ("arguments", "statement", "code"),
    [
        (["--help"], RUN_MAIN, 0),
        (["--version"], RUN_MAIN, 0),
        (["compare", "--help"], RUN_MAIN, 0),
        (["schemes"], RUN_MAIN, 0),
        (["schemes", "xavier_uniform"], RUN_MAIN, 0),
        (["schemes", "nosuch"], RUN_MAIN, 2),
        (["run", "bad.yaml"], RUN_MAIN, 2),
        (["compare", "--schemes", "he,xaviar"], RUN_MAIN, 2),
        (["compare", "--schemes", "he,kaiming"], RUN_MAIN, 2),
        (["compare", "--schemes", "xavier,he", "--set", "train.epochs=0"], RUN_MAIN, 2),
        (["validate", "good.yaml"], RUN_MAIN, 0),
        (["runs", "list"], RUN_MAIN, 0),
        (["runs", "--help"], RUN_MAIN, 0),
        (["runs", "verify", "nosuch"], RUN_MAIN, 2),
        (["runs", "replay", "nosuch"], RUN_MAIN, 2),
        (["data", "path"], RUN_MAIN, 1),
        ([], "import initbench; initbench.load_config, initbench.register_scheme", None),
    ],
    ids=str,
)
def test_what_must_answer_at_once_imports_nothing_heavy(
    arguments: list[str], statement: str, code: int | None, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("train: {epochs: true}\n")
    (tmp_path / "good.yaml").write_text("seed: 3\n")
    probe = PROBE.format(arguments=arguments, statement=statement, heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr.splitlines()[-1] == f"[] {code}"
