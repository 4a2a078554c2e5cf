"""Config files and overrides from anywhere: a config, or an error that names line and key; soon, and in little memory.

The cases are drawn by Hypothesis from a fixed seed (INITBENCH_FUZZ_SEED sets another one), written to a file and
examined one by one in a process of their own, whose memory is measured and limited.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from initbench.cli.app import app
from initbench.config import Config, load_config, make_config
from initbench.config.file import MAX_BYTES
from initbench.errors import UsageError

PROJECT = Path(__file__).parents[2]
SEED = int(os.environ.get("INITBENCH_FUZZ_SEED", "0"))
LONGEST_S, MOST_MEMORY_MB = 1.0, 200.0
HARD_STOP_BYTES = 400 << 20  # of addresses: beyond it an allocation fails, and so does the case


class Case(NamedTuple):
    """A file's bytes (None: no file), the overrides, and whether it goes through the command line."""

    content: bytes
    overrides: tuple[str, ...] = ()
    through_command: bool = False

    def to_json(self) -> str:
        return json.dumps([base64.b64encode(self.content).decode(), self.overrides, self.through_command])

    @classmethod
    def from_json(cls, text: str) -> Case:
        content, overrides, through_command = json.loads(text)
        return cls(base64.b64decode(content), tuple(overrides), through_command)


# ---- what a case may look like: YAML from a valid config with things done to it


def words(text: str) -> list[str]:
    return text.split()


SCHEMES = words("""
    normal:std=0.01 normal:std=abc normal:std=1e999 normal:std=nan normal:std=-1 normal:std= normal:=1 normal: :normal
    normal:std=1:std=1 normal:std=1=2 normal:std=１ normal:std=1_0 normal:sdt=1 xavier:gain=auto xavier:gain=-0 he
    he:mode=fan_out he:mode=fan he:nonlinearity=relu dbn:epochs=1.5 dbn:epochs=99999999999999999999 kaimin
    dbn:k=1:persistent=yes sparse:sparsity=2 trunc_normal:a=2:b=-2 lsuv:tol=² critical:sw=0 constant:val=inf
    orthogonal:gain=1e39
""")
RAW = (  # YAML as it stands
    *words(r"""
        .nan -.inf +.inf 1e999 -0.0 0o17 0o99 0xff 010 1_000 1:30 2020-01-01 2001-12-14t21:59:43.10-05:00 yes No NULL ~
        !!python/object/apply:os.system[x] !!set{a} ! !x *a &a *unknown << = ? - | > [ ] { } {} [] [[[]]] {a:1} {{a}:b}
        ' " '' "" "\x1b[31m" "\ud800" "\0" "\U0010ffff" "\U00110000" @ ` %YAML #
    """),
    "!!binary aGk=", "!!float x", "!!timestamp 1", "[1, 2, x]", "&a[1, *a]", "{width: 3, depth: 2}",
    "9" * 100, "9" * 101, "0x" + "f" * 98, "1" + "0" * 90 + ".5", "x" * 300, "!!python/object/apply:os.system [x]",
    "&a [1, *a]", "{<<: {a: 1}}", "|\n  a\n  b", ">-\n  a\n\n  b", "{width: 3, depth: 10000}", "{width: 1e3, depth: 2}",
    "[" * 30 + "]" * 30, "- a\n- b", "\ta: 1", "--- 1", "...", "a: b: c", "{out: zeros, out: ones}", "[mnist, mnist]",
)  # fmt: skip
VALUES = (
    True, False, None, 0, -1, 1, 2, 3, 10, 64, 10**5, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**99, 0.0, 0.5, 1.0,
    1e-320, 1.7e308, "", " ", "no", "1e-3", "null", "../x", "a..b", "[red]", "<script>", "\x1b[2J", "\u202e", "\u2028",
    "é" * 70, "𝄞", "\ufeff", "auto", "cuda:99", "gpu", "mnist", "mnits", "digits", "cnn", "rnn", "sgd", "cosine",
    "same", "%s{0}${HOME}", "\\", "'", '"', "a\nb", "a\0b", "*", "#",
)  # fmt: skip
WORDS = st.text(max_size=12) | st.sampled_from([*SCHEMES, *(value for value in VALUES if isinstance(value, str))])
KEYS = WORDS | st.sampled_from(
    words(
        "name model init data train inspect seed device hidden activation scheme std gain layers bias lr epochs betas "
        "limit batch_size schemes shape hiden <<"
    )
)
scalars = (
    st.sampled_from(VALUES)
    | st.sampled_from(SCHEMES)
    | st.integers()
    | st.floats()
    | WORDS
    | st.sampled_from(RAW).map(lambda text: Raw(text))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(KEYS, inner), max_size=4).map(tuple),
    max_leaves=8,
)


class Raw(str):
    """YAML that is written as it stands."""


Pairs = tuple[tuple[str, Any], ...]  # a mapping, in which a key may come twice


def pairs(data: Any) -> Any:
    """Return mappings as tuples of pairs."""
    return tuple((key, pairs(value)) for key, value in data.items()) if isinstance(data, dict) else data


CONFIGS = [path.read_text(encoding="utf-8") for path in sorted((PROJECT / "configs").glob("*.yaml"))]
VALID = [pairs(yaml.safe_load(text)) for text in CONFIGS]
VALID += [pairs(yaml.safe_load(load_config(path).to_yaml())) for path in sorted((PROJECT / "configs").glob("*.yaml"))]


def written(data: Any, indent: int = 0) -> str:
    """Return YAML: mappings in blocks, lists in flow style, text quoted as JSON has it."""
    if isinstance(data, Raw):
        return str(data).replace("\n", "\n" + " " * indent)
    if isinstance(data, tuple):
        rows = (f"{' ' * indent}{_key(key)}: {written(value, indent + 2)}" for key, value in data)
        return "\n" + "\n".join(rows) if data else "{}"
    if isinstance(data, list):
        return f"[{', '.join(_in_flow(item) for item in data)}]"
    return repr(data) if isinstance(data, float) else json.dumps(data, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_<]\w*<?", key) else json.dumps(key)


def _in_flow(item: Any) -> str:
    if isinstance(item, tuple):
        return "{" + ", ".join(f"{_key(key)}: {_in_flow(value)}" for key, value in item) + "}"
    return written(item)


def mutated(draw: st.DrawFn, tree: Pairs) -> Pairs:
    """Return the mapping with one thing done to it, or to a mapping in it."""
    rows = list(tree)
    at = draw(st.integers(0, len(rows)))
    if at == len(rows):
        return (*rows, (draw(KEYS), draw(values)))
    key, value = rows[at]
    if isinstance(value, tuple) and draw(st.integers(0, 3)):
        rows[at] = key, mutated(draw, value)
        return tuple(rows)
    done = draw(st.sampled_from(("value", "value", "value", "key", "twice", "gone", "nested", "listed", "anchored")))
    rows[at : at + 1] = {
        "value": lambda: [(key, draw(values))],
        "key": lambda: [(draw(KEYS), value)],
        "twice": lambda: [(key, value), (key, draw(values))],
        "gone": lambda: [],
        "nested": lambda: [(key, ((draw(KEYS), value),))],
        "listed": lambda: [(key, [value, draw(scalars)])],
        "anchored": lambda: [(key, Raw(f"&a {_in_flow(value)}")), (draw(KEYS), Raw("*a"))],
    }[done]()
    return tuple(rows)


overrides = st.lists(
    st.builds(
        lambda section, key, value: f"{section}{key}={value}",
        st.sampled_from(("", "train.", "model.", "init.", "data.", "inspect.", "init.layers.", ".", "a.b.c.")) | WORDS,
        KEYS,
        st.sampled_from(RAW) | values.map(lambda value: _in_flow(value)),
    )
    | WORDS,
    max_size=3,
).map(tuple)


@st.composite
def structured(draw: st.DrawFn) -> Case:
    tree = draw(st.sampled_from(VALID))
    for _ in range(draw(st.sampled_from((0, 1, 1, 2, 3)))):
        tree = mutated(draw, tree)
    content = written(tree).encode("utf-8", "surrogatepass")
    return Case(content, draw(overrides) if draw(st.integers(0, 3)) == 0 else (), draw(st.integers(0, 9)) == 0)


# ---- what a case may look like: bytes

MARKS = (
    *words(r"""
        : , [ ] { } {} [] - ? | > |2 >+ ' " # & * &a *a << ! !! !!str !!map %YAML %TAG --- ... @ ` \ \x41 0x 1: é 𝄞 a b
        model init train lr betas seed name normal hidden 1 -1 1e-3 .nan 9e999 null true yes
    """),
    "\ufeff", "\u2028", "\x85", "\n", "\n  ", "\n    ", "\t", " ", "\r\n", "\r",
)  # fmt: skip
soup = st.lists(st.sampled_from(MARKS), max_size=60).flatmap(
    lambda parts: st.sampled_from(("", " ")).map(lambda glue: glue.join(parts).encode("utf-8", "surrogatepass"))
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of configs/ with stretches of it removed, repeated, or replaced by other bytes."""
    content = draw(st.sampled_from(CONFIGS)).encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 20))
        new = st.binary(max_size=6) | st.sampled_from(MARKS).map(str.encode) | st.just(content[start:end] * 2)
        content = content[:start] + draw(new) + content[end:]
    return content


def _bomb(levels: int, width: int, kind: str) -> str:
    """An alias bomb: each of `levels` lists or mappings has the one before `width` times."""
    for_each = {"list": lambda name: ", ".join([f"*{name}"] * width), "map": lambda name: ", ".join(
        f"k{index}: *{name}" for index in range(width))}[kind]  # fmt: skip
    opened, closed = ("[", "]") if kind == "list" else ("{", "}")
    rows = [f"b{level}: &b{level} {opened}{for_each(f'b{level - 1}')}{closed}" for level in range(1, levels + 1)]
    return "\n".join([f"b0: &b0 {opened}{closed}", *rows])


@st.composite
def large(draw: st.DrawFn) -> bytes:
    """Deep, long, wide, or encoded in another way; up to a little more than a file may have."""
    unit = draw(
        st.sampled_from((*MARKS, "x", "[", "{", "- ", "? ", "a: ", "[a, ", "''", "\\x41", "x\n ", "\n...", "%A\n"))
    )
    before = draw(
        st.sampled_from(("", "name: ", "name: '", 'name: "', "name: |\n  ", "a: [", "{", "# ", "&", "*", "!"))
    )
    after = draw(st.sampled_from(("", "'", '"', "]", ": 1", "\nseed: 1")))
    size = draw(st.sampled_from((30, 1_000, 5_001, 20_000, MAX_BYTES - 30, MAX_BYTES, 1 << 20)))
    repeated = before + unit * (size // len(unit.encode()) + 1) + after
    text = draw(
        st.just(repeated)
        | st.builds(_bomb, st.integers(1, 40), st.integers(1, 20), st.sampled_from(("list", "map")))
        | st.builds(lambda n: "\n".join(f"k{i}: {unit}" for i in range(n)), st.sampled_from((101, 5_000)))
        | st.builds(lambda n: "init: {layers: {" + ", ".join(f"l{i}: he{i}" for i in range(n)) + "}}", st.just(1_000))
        | st.builds(lambda n: f"model: {{hidden: [{', '.join(['0'] * n)}]}}", st.sampled_from((101, 4_900)))
        | st.sampled_from(CONFIGS)
    )
    encoding = draw(st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-7")))
    return text.encode(encoding, "surrogatepass")


@st.composite
def raw(draw: st.DrawFn) -> Case:
    which = draw(st.integers(0, 19))
    content = draw(
        large() if which == 0 else soup if which < 7 else st.binary(max_size=300) if which < 11 else damaged()
    )
    return Case(content, draw(overrides) if which == 19 else (), draw(st.integers(0, 19)) == 0)


ALWAYS = [  # what was found to be hard, and what takes PyYAML longest
    Case(b'"\\ud800": 1'),
    Case(b'init: {layers: {"\\udfff": he}}', through_command=True),
    Case(b"seed: 1", ("init.layers.\udcff=he",)),
    Case(b"[!!!!["),
    Case(b"!!str!!str''"),
    Case(b"seed: 1" + b"\n" * (MAX_BYTES - 30)),
    Case(b"name: '" + b"x\n" * (MAX_BYTES // 2 - 30) + b"'"),
    Case(b"seed: 1\n" + b"...\n" * (MAX_BYTES // 4 - 30)),
    Case(b'name: "' + b"\\n" * (MAX_BYTES // 2 - 30) + b'"'),
    Case(b"a: [" + b"[], " * 5_000 + b"]"),
    Case(_bomb(30, 10, "list").encode()),
    Case(_bomb(30, 10, "map").encode(), through_command=True),
    Case(("init: {layers: {" + ", ".join(f"l{i}: xavier_norml{i}" for i in range(999)) + "}}").encode()),
    Case(("inspect: {schemes: [" + ", ".join(f"xavier_norml{i}" for i in range(4_000)) + "]}").encode()),
]


# ---- what is to be said of it

KEYLESS = (  # what is wrong with the file as a whole, or where there is no key
    "got .*, allowed: a mapping with the keys |not valid YAML: |the file is empty|byte 0x|a NUL byte|character ['\"]|"
    "tag ['\"]|a second document |nested deeper |more than [0-9]+ values|alias ['\"]|merge keys |a key must be |"
    "text with '|and [0-9]+ more problems|a number of [0-9]+ characters|write KEY=VALUE"
)
PART = r"""(?:[A-Za-z0-9_-]{1,60}|'(?:[^'\\]|\\.)*'(?:\.\.\.)?|"(?:[^"\\]|\\.)*")"""
SAID = re.compile(rf"(?:(?P<key>(?:{PART}|\[\d+\])(?:\.{PART}|\[\d+\])*): (?P<message>.+)|(?:{KEYLESS}).*)")


def faults(case: Case, path: Path) -> Iterator[str]:
    """Yield what is wrong with what is said of a case."""
    path.write_bytes(case.content)
    try:
        config = _through_command(path, case.overrides) if case.through_command else load_config(path, case.overrides)
    except UsageError as error:
        yield from itertools.chain.from_iterable(_line_faults(line, path, case) for line in str(error).split("\n"))
    except SystemExit as end:  # the command line itself is wrong
        if end.code != 2:
            yield f"exit {end.code}"
    except BaseException as error:  # whatever it is, it would be a traceback
        yield f"{type(error).__name__}: {error}"
    else:
        yield from _round_trip(config, path)


def _through_command(path: Path, overrides: Iterable[str]) -> Config:
    """Return what `initbench validate` prints; raise what it raises."""
    options = [f"--set={override}" for override in overrides]
    result = CliRunner().invoke(app, ["validate", *options, "--", str(path)])
    if result.exception is not None:
        raise result.exception
    return make_config(yaml.safe_load("") or {}) if not result.stdout else _loaded(result.stdout, path)


def _loaded(text: str, path: Path) -> Config:
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def _round_trip(config: Config, path: Path) -> Iterator[str]:
    if _loaded(config.to_yaml(), path) != config:
        yield "its YAML loads back as another config"
    if make_config(json.loads(json.dumps(config.to_dict(), allow_nan=False))) != config:
        yield "its JSON loads back as another config"


def _line_faults(line: str, path: Path, case: Case) -> Iterator[str]:
    if len(case.content) > MAX_BYTES and line.startswith(f"{path}: larger than"):
        return
    place = re.match(rf"{re.escape(str(path))}:(?P<line>[1-9]\d*):(?P<column>[1-9]\d*): |--set ", line)
    if place is None:
        yield f"names no place: {line!r}"
        return
    if not line.isprintable() or len(line) > 2_000 or "Input should be" in line or "Value error" in line:
        yield f"is no line for a person to read: {line!r}"
    if place["line"]:
        yield from _place_faults(line, line[place.end() :], int(place["line"]), int(place["column"]), case)
    elif not any(line.startswith(f"--set {override[:20]}"[:6]) for override in case.overrides):
        yield f"names an override that was not given: {line!r}"


def _place_faults(line: str, rest: str, number: int, column: int, case: Case) -> Iterator[str]:
    said = SAID.fullmatch(rest)
    if said is None:
        yield f"names no key: {line!r}"
        return
    rows = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", case.content.decode("utf-8-sig", "replace"))
    if number > len(rows) or column > len(rows[number - 1]) + 1:
        yield f"names a place that is not there: {line!r}"
    elif said["key"] and said["message"].startswith("unknown key"):
        key = said["key"].rpartition(".")[2]
        if re.fullmatch(r"[A-Za-z]+", key) and key not in rows[number - 1]:
            yield f"names a line without the key: {line!r}"


# ---- the process that examines the cases


def examine(cases: Path, folder: Path) -> None:
    """Print as JSON what came of the cases in a file: how many were valid, the faults, the longest time, the memory."""
    path, found = folder / "c.yaml", []
    list(faults(Case(b"seed: 1", ("train.lr=1",), True), path))  # whatever is imported late
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + HARD_STOP_BYTES,) * 2)
    before_kb, longest_s, slowest, examined, valid = _peak_kb(), 0.0, "", 0, 0
    with cases.open() as lines:
        for line in lines:
            case = Case.from_json(line)
            start = time.process_time()
            said = list(faults(case, path))
            valid += path.read_bytes() != case.content  # written anew, from the config that it gave
            took_s = time.process_time() - start
            if took_s > longest_s:
                longest_s, slowest = took_s, repr(case)[:200]
            found += [f"{fault[:600]} <- {repr(case)[:600]}" for fault in said]
            examined += 1
    memory_mb = (_peak_kb() - before_kb) / 1024
    print(json.dumps([examined, valid, found[:20], len(found), longest_s, slowest, memory_mb]))  # noqa: T201 - to the test


def _peak_kb() -> int:
    """Return the most memory that this process had at a time; getrusage would count its parent's before exec, too."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def drawn(strategy: st.SearchStrategy[Case], count: int, number: int) -> list[Case]:
    """Return about `count` cases, always the same ones for a number."""
    cases: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(case: Case) -> None:
        cases.append(case)

    collect()
    return cases


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures memory as Linux does")
@pytest.mark.parametrize(
    ("kind", "strategy"), [("structured", structured()), ("bytes", raw())], ids=["structured", "bytes"]
)
def test_any_config_is_taken_or_refused_in_plain_words(
    kind: str,
    strategy: st.SearchStrategy[Case],
    count: Callable[[int, int], int],
    figure: Callable[[str, str], None],
    tmp_path: Path,
) -> None:
    cases = [*(ALWAYS if kind == "bytes" else []), *drawn(strategy, count(60, 10_000), SEED)]
    (tmp_path / "cases").write_text("".join(f"{case.to_json()}\n" for case in cases))
    program = (
        "import sys, warnings; from pathlib import Path; warnings.simplefilter('error'); "
        "from reliability.test_config_fuzz import examine; examine(*map(Path, sys.argv[1:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "cases", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT / "tests"), str(PROJECT)])},
        capture_output=True,
        text=True,
        timeout=3_000,
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    examined, valid, shown, faults_found, longest_s, slowest, memory_mb = json.loads(ended.stdout)
    figure(
        f"config fuzzing, {kind}",
        f"{examined:,} cases (seed {SEED}): {valid:,} loaded, {examined - valid:,} refused; tracebacks, or answers"
        f" without line and key: {faults_found}; {longest_s:.2f} s and {memory_mb:.0f} MB at most",
    )
    assert examined == len(cases) > 0
    assert not shown, "\n".join(shown)
    assert longest_s < LONGEST_S, slowest
    assert memory_mb < MOST_MEMORY_MB


def test_cases_follow_the_seed() -> None:
    assert drawn(raw(), 5, 1) == drawn(raw(), 5, 1) != drawn(raw(), 5, 2)
