"""YAML text -> a tree of nodes that know their places; the safe part of YAML that a config needs, and nothing else.

It reads PyYAML's event stream (pure Python: its positions are the same on every machine), so that depth and size are
bounded before anything is built. Anchors and aliases work within the bounds. Tags, merge keys and several documents
are refused; keys are always strings.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from initbench.config.errors import KeyPath, Place, Problem, Source, show
from initbench.config.scalars import half_a_character, plain_scalar
from initbench.config.tree import MAX_DEPTH, MAX_NODES, Composed, Entry, Node


def compose(text: str, source: Source, path: KeyPath = ()) -> Composed:
    """Return the tree of YAML `text`, which is the value of the setting `path`. Never raises."""
    problems: list[Problem] = []
    try:
        loader: Any = yaml.SafeLoader(text)  # Any: its parser methods carry no types
    except yaml.reader.ReaderError as error:
        message = f"character {show(text[error.position])} is not allowed in YAML. Remove it."
        return Composed(None, [Problem(source.at(*line_and_column(text[: error.position])), path, message)])
    try:
        return Composed(_Composer(loader, source, problems).document(path), problems)
    except yaml.MarkedYAMLError as error:
        mark, message = error.problem_mark or loader.get_mark(), _syntax_message(error)
    except (ValueError, OverflowError):  # PyYAML's own int() and chr() on absurd escapes and %YAML versions
        mark, message = loader.get_mark(), "not valid YAML: a number or an escaped character is out of range."
    except _TooLargeError as error:
        return Composed(None, [*problems, error.problem])
    return Composed(None, [*problems, Problem(source.at(mark.line + 1, mark.column + 1), path, message)])


def line_and_column(before: str) -> tuple[int, int]:
    """Return line and column, from 1, of the character that follows the text `before`; line breaks as YAML has them."""
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", before)
    return len(lines), len(lines[-1]) + 1


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    hint = " Indent with spaces, not with tabs." if "'\\t'" in (error.problem or "") else ""
    parts = (error.context, error.problem)
    return f"not valid YAML: {', '.join(part for part in parts if part)}.{hint}"


class _TooLargeError(Exception):
    """The document is deeper or larger than a config may be: nothing more is read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Composer:
    """Builds the tree from PyYAML's events, one node at a time. The length of a path is the depth of its node."""

    def __init__(self, loader: Any, source: Source, problems: list[Problem]) -> None:
        self._loader = loader
        self._source = source
        self._problems = problems
        self._anchors: dict[str, Node | None] = {}  # None while the anchored node is being built
        self._nodes = 0

    def document(self, path: KeyPath) -> Node | None:
        """Return the root of the only document, None where there is none."""
        self._next()  # the start of the stream
        if self._loader.check_event(yaml.StreamEndEvent):
            return None
        self._next()  # the start of the document
        root = self._node(path)
        self._next()  # its end
        if not self._loader.check_event(yaml.StreamEndEvent):
            message = "a second document starts here. A config is one document; remove the rest."
            self._problem(self._next(), path, message)
        return root

    def _next(self) -> Any:
        return self._loader.get_event()

    def _place(self, event: Any) -> Place:
        return self._source.at(event.start_mark.line + 1, event.start_mark.column + 1)

    def _problem(self, event: yaml.Event, path: KeyPath, message: str) -> None:
        self._problems.append(Problem(self._place(event), path, message))

    def _admit(self, place: Place, depth: int) -> None:
        self._nodes += 1
        if depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels; a config needs three."
        elif self._nodes > MAX_NODES:
            message = f"more than {MAX_NODES} values, counting what aliases repeat; a config has a few dozen."
        else:
            return
        raise _TooLargeError(Problem(place, (), message))

    def _node(self, path: KeyPath) -> Node:
        event = self._next()
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        self._admit(self._place(event), len(path))
        if event.tag is not None:
            self._problem(event, path, f"tag {show(event.tag)} is not allowed: a config is plain data. Remove the tag.")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = Node(self._value(event, path), self._place(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _value(self, event: yaml.Event, path: KeyPath) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event, path)

    def _alias(self, event: Any, path: KeyPath) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            is_inside = event.anchor in self._anchors
            reason = "stands inside the value it repeats" if is_inside else "has no anchor before it"
            self._problem(event, path, f"alias {show('*' + event.anchor)} {reason}. Write the value out.")
            return Node(None, self._place(event))
        self._admit_all(node, self._place(event), len(path))
        return Node(node.value, self._place(event))

    def _admit_all(self, node: Node, place: Place, depth: int) -> None:
        self._admit(place, depth)
        children = node.value if isinstance(node.value, list) else []
        if isinstance(node.value, dict):
            children = [entry.node for entry in node.value.values()]
        for child in children:
            self._admit_all(child, place, depth + 1)

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        if event.style is not None:  # quoted or a block
            if message := half_a_character(event.value):
                self._problem(event, path, message)
            return "" if message else event.value
        try:
            return plain_scalar(event.value)
        except OverflowError as error:
            self._problem(event, path, str(error))
            return None

    def _sequence(self, path: KeyPath) -> list[Node]:
        items: list[Node] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append(self._node((*path, len(items))))
        self._next()
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            key, place = self._key(path)
            node = self._node((*path, key or ""))
            if key in entries:
                first = entries[key].key
                message = f"given twice, first at line {first.line}, column {first.column}. Remove one."
                self._problems.append(Problem(place, (*path, key), message))
            elif key is not None:
                entries[key] = Entry(place, node)
        self._next()
        return entries

    def _key(self, path: KeyPath) -> tuple[str | None, Place]:
        event: Any = self._loader.peek_event()
        place = self._node((*path, "")).place
        if not isinstance(event, yaml.ScalarEvent):
            self._problem(event, path, "a key must be a plain name.")
        elif event.value == "<<" and event.style is None:
            self._problem(event, path, "merge keys ('<<') are not supported. Write the settings out.")
        elif not half_a_character(event.value):  # or else it is a problem already
            return event.value, place
        return None, place
