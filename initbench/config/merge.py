"""From what a user may write to what the config classes validate: overrides, short forms, scheme parameters as keys.

Rules, in this order:

1. A section written as one word sets its name: `model: mlp`, `data: digits`, `init: he_normal`. An empty section is
   all defaults.
2. An override beats the file. `train={lr: 0.1}` merges like `train.lr=0.1`; the later of two overrides wins.
3. An override of `init.scheme` replaces the file's whole scheme, its parameters included (`init.bias` and
   `init.layers` stay). An override of a single parameter (`init.std=0.1`) replaces that parameter, wherever the file
   has it.
4. An override of `model.name` with another model drops the file's options of the old one.
5. Keys of `init` other than `scheme`, `bias` and `layers` are parameters of the scheme and become part of its text.
"""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Iterator, Mapping

from initbench.config.errors import KeyPath, Place, Problem, Source, report, shorten, show
from initbench.config.scalars import half_a_character
from initbench.config.tree import MAX_DEPTH, MAX_NODES, Composed, Entry, Node
from initbench.config.yaml_reader import compose
from initbench.errors import SchemeError, did_you_mean
from initbench.models import models
from initbench.schemes import SchemeSpec, parse

DEFAULT_MODEL = "mlp"
DEFAULT_SCHEME = "xavier_uniform"
MAX_SCHEME_CHARACTERS = 200  # a scheme with all of its parameters takes about 50
MAX_OVERRIDE_CHARACTERS = 1 << 16  # some systems take 128 KiB of arguments at most
SECTIONS = ("model", "init", "data", "train", "inspect")
WORDS = {"model": "name", "init": "scheme", "data": "name"}  # what a section written as one word sets
INIT_KEYS = ("scheme", "bias", "layers")

Entries = dict[str, Entry]


def tree_of(data: object) -> Composed:
    """Return the tree of plain Python data, without places. Keys that are no strings are problems.

    Raises ConfigError where the data is deeper or larger than a config can be: it may contain itself.
    """
    problems: list[Problem] = []
    return Composed(_tree(data, (), problems, itertools.count(1)), problems)


def _tree(data: object, path: KeyPath, problems: list[Problem], nodes: Iterator[int]) -> Node:
    if len(path) > MAX_DEPTH or next(nodes) > MAX_NODES:
        message = f"nested deeper than {MAX_DEPTH} levels, or more than {MAX_NODES} values; a config has a few dozen."
        raise report([Problem(Place(), path[:3], message)])
    if isinstance(data, (list, tuple)):
        return Node([_tree(item, (*path, index), problems, nodes) for index, item in enumerate(data)])
    if not isinstance(data, Mapping):
        return _scalar(data, path, problems)
    entries: Entries = {}
    for key, item in data.items():
        if isinstance(key, str) and (message := half_a_character(key)):
            problems.append(Problem(Place(), (*path, key), message))
        elif isinstance(key, str):
            entries[key] = Entry(Place(), _tree(item, (*path, key), problems, nodes))
        else:
            problems.append(Problem(Place(), path, f"key {show(key)} is not a string."))
    return Node(entries)


def _scalar(value: object, path: KeyPath, problems: list[Problem]) -> Node:
    """Return the node of a scalar, numpy's numbers as Python's."""
    if isinstance(value, str) and (wrong := half_a_character(value)):
        problems.append(Problem(Place(), path, wrong))
        return Node(None)
    if value is None or isinstance(value, (bool, int, float, str)):
        return Node(value)
    if isinstance(value, numbers.Real):
        return Node(int(value) if isinstance(value, numbers.Integral) else float(value))
    message = f"got {show(value)}, allowed: plain data (null, true, false, numbers, text, lists and mappings)."
    problems.append(Problem(Place(), path, message))
    return Node(None)


def override_tree(text: str, rank: int) -> Composed:
    """Return the tree of the override `a.b=value`; `rank` is its number, from 1."""
    source = Source(f"--set {shorten(text)}", rank, has_lines=False)
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(path) or len(path) >= MAX_DEPTH:
        return Composed(None, [Problem(source.at(1, 1), (), "write KEY=VALUE, such as train.lr=0.01.")])
    if len(text) > MAX_OVERRIDE_CHARACTERS:
        message = f"{len(text)} characters; write {MAX_OVERRIDE_CHARACTERS} at most, or put it into the config file."
        return Composed(None, [Problem(source.at(1, 1), (), message)])
    if message := half_a_character(name):
        return Composed(None, [Problem(source.at(1, 1), (), message)])
    composed = compose(value, source, path)
    if composed.root is None and composed.problems:
        return composed
    node = composed.root or Node(None, source.at(1, 1))
    for key in reversed(path):
        node = Node({key: Entry(source.at(1, 1), node)}, source.at(1, 1))
    return Composed(node, composed.problems)


def merge_overrides(base: Node, overrides: Iterable[Node]) -> Node:
    """Return `base`, a mapping, with the overrides merged in by the rules above; short forms are written out."""
    over = Node({})
    for override in overrides:
        over = _merge(over, _write_out(override))
    base = _write_out(base)
    return _empty_sections(_merge(_without_replaced(base, over), over))


def _merge(base: Node, over: Node) -> Node:
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    merged: Entries = dict(base.value)
    for key, entry in over.value.items():
        merged[key] = Entry(entry.key, _merge(merged[key].node, entry.node)) if key in merged else entry
    return Node(merged, base.place)


def _write_out(root: Node) -> Node:
    """Write `model: mlp` out as `model: {name: mlp}`."""
    sections: Entries = dict(root.value)
    for section, key in WORDS.items():
        entry = sections.get(section)
        if entry is not None and isinstance(entry.node.value, str):
            sections[section] = Entry(entry.key, Node({key: Entry(entry.key, entry.node)}, entry.node.place))
    return Node(sections, root.place)


def _empty_sections(root: Node) -> Node:
    sections: Entries = dict(root.value)
    for section in SECTIONS:
        if section in sections and sections[section].node.value is None:
            sections[section] = Entry(sections[section].key, Node({}, sections[section].node.place))
    return Node(sections, root.place)


def _without_replaced(base: Node, over: Node) -> Node:
    """Return the base without what rules 3 and 4 drop."""
    sections: Entries = dict(base.value)
    if _names_other_model(_section(base, "model"), _section(over, "model")):
        sections.pop("model", None)
    if "init" in sections and isinstance(sections["init"].node.value, dict):
        entry = sections["init"]
        kept = _without_old_parameters(entry.node.value, _section(over, "init"))
        sections["init"] = Entry(entry.key, Node(kept, entry.node.place))
    return Node(sections, base.place)


def _section(root: Node, section: str) -> Entries:
    entry = root.value.get(section)
    return entry.node.value if entry is not None and isinstance(entry.node.value, dict) else {}


def _names_other_model(base: Entries, over: Entries) -> bool:
    return "name" in over and _model_name(over) != _model_name(base)


def _model_name(section: Entries) -> object:
    name = section["name"].node.value if "name" in section else DEFAULT_MODEL
    return models.resolve(name) if isinstance(name, str) and name in models.all_names() else name


def _without_old_parameters(base: Entries, over: Entries) -> Entries:
    if "scheme" in over:
        return {key: entry for key, entry in base.items() if key in INIT_KEYS}
    if "scheme" not in base or not isinstance(base["scheme"].node.value, str):
        return base
    scheme = base["scheme"]
    name, *settings = scheme.node.value.split(":")
    kept = [setting for setting in settings if setting.partition("=")[0] not in over]
    return base | {"scheme": Entry(scheme.key, Node(":".join([name, *kept]), scheme.node.place))}


def fold_scheme(root: Node) -> Composed:
    """Return the tree with the parameter keys of `init` moved into the text of its scheme (rule 5)."""
    section = _section(root, "init")
    extras = {key: entry for key, entry in section.items() if key not in INIT_KEYS}
    if not extras:
        return Composed(root, [])
    init = root.value["init"]
    kept = {key: entry for key, entry in section.items() if key in INIT_KEYS}
    scheme = kept.get("scheme", Entry(init.key, Node(DEFAULT_SCHEME, init.node.place)))
    problems: list[Problem] = []
    spec = _parsed(scheme.node.value)
    if spec is not None:
        text, problems = _with_parameters(spec, str(scheme.node.value), extras)
        kept["scheme"] = Entry(scheme.key, Node(text, scheme.node.place))
    folded = root.value | {"init": Entry(init.key, Node(kept, init.node.place))}
    return Composed(Node(folded, root.place), problems)


def _parsed(text: object) -> SchemeSpec | None:
    """Return the scheme, or None: the config classes report what is wrong with it."""
    try:
        return parse(text) if isinstance(text, str) and len(text) <= MAX_SCHEME_CHARACTERS else None
    except SchemeError:
        return None


def _with_parameters(spec: SchemeSpec, text: str, extras: Entries) -> tuple[str, list[Problem]]:
    given = {setting.partition("=")[0] for setting in text.split(":")[1:]}
    problems: list[Problem] = []
    for key, entry in extras.items():
        if key not in spec.params:
            problems.append(Problem(entry.key, ("init", key), _unknown_parameter(spec, key)))
        elif key in given:
            problems.append(Problem(entry.key, ("init", key), f"given in the scheme {show(text)} as well. Remove one."))
        elif message := _wrong_value(spec, key, entry.node.plain()):
            problems.append(Problem(entry.node.place, ("init", key), message))
        else:
            text += f":{key}={_setting_text(entry.node.value)}"
    return text, problems


def _unknown_parameter(spec: SchemeSpec, key: str) -> str:
    parameters = f"the parameters of {spec.name}: {', '.join(spec.params)}" if spec.params else ""
    allowed = f"{', '.join(INIT_KEYS)}; {parameters or spec.name + ' has no parameters'}"
    return f"unknown key.{did_you_mean(shorten(key), [*INIT_KEYS, *spec.params])} Allowed: {allowed}."


def _wrong_value(spec: SchemeSpec, key: str, value: object) -> str:
    """Return what is wrong with the value of one parameter, "" where nothing is."""
    is_word = isinstance(value, str) and value.isprintable() and not set(value) & set(":= ")
    if not is_word and not isinstance(value, (int, float)):
        return f"got {show(value)}, allowed: one number or word."
    try:
        parse(f"{spec.name}:{key}={_setting_text(value)}")
    except SchemeError as error:
        return str(error)
    return ""


def _setting_text(value: object) -> str:
    return shorten(value) if isinstance(value, str) else show(value)
