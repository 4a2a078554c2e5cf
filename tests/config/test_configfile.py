"""Reading a config file: what cannot be read is one clear line with its position, and nothing takes long."""

from __future__ import annotations

import itertools
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from initbench.config.errors import show, show_path
from initbench.config.file import MAX_BYTES, read_config_file
from initbench.config.scalars import plain_scalar
from initbench.errors import ConfigError


def _written(folder: Path, content: str | bytes) -> Path:
    path = folder / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(folder: Path, content: str | bytes) -> object:
    composed = read_config_file(_written(folder, content))
    assert composed.root is not None
    assert composed.problems == []
    return composed.root.plain()


def _complaints(folder: Path, content: str | bytes) -> str:
    """Return what is said about the file, without its path; the lines of problems that did not stop the reading too."""
    path = _written(folder, content)
    try:
        text = "\n".join(str(problem) for problem in read_config_file(path).problems)
    except ConfigError as error:
        text = str(error)
    assert all(line.startswith(str(path)) for line in text.splitlines())
    return text.replace(f"{path}:", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # https://yaml.org/spec/1.2.2/#1032-tag-resolution
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("1e-3", 0.001),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("6E+2", 600.0),
        ("-.inf", float("-inf")),
        # strings, although YAML 1.1 has other ideas
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("0b1", "0b1"),
        ("e3", "e3"),
        ("=", "="),
        ("inf", "inf"),
    ],
)
def test_unquoted_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    result = plain_scalar(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("seed: 1", {"seed": 1}),
        (b"\xef\xbb\xbfseed: 1\r\n", {"seed": 1}),
        ("a: '1'\nb: [1, {c: \"2\"}]", {"a": "1", "b": (1, {"c": "2"})}),
        ("1: x\ntrue: y", {"1": "x", "true": "y"}),
        ("a: &x [1, 2]\nb: *x", {"a": (1, 2), "b": (1, 2)}),
        ("a: |\n  no\n", {"a": "no\n"}),
        ("'<<': 1", {"<<": 1}),
        ("{}", {}),
    ],
)
def test_reads(tmp_path: Path, content: str | bytes, value: object) -> None:
    assert _read(tmp_path, content) == value


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "1:1: the file is empty. Write a setting, such as 'seed: 0'."),
        ("# nothing\n", "1:1: the file is empty. Write a setting, such as 'seed: 0'."),
        ("---\n", "1:1: the file is empty. Write a setting, such as 'seed: 0'."),
        (b"seed: 1\nname: \xff", "2:7: byte 0xff is not UTF-8 text. Save the file as UTF-8."),
        (b"\xef\xbb\xbfa\xff", "1:2: byte 0xff is not UTF-8 text. Save the file as UTF-8."),
        (b"\xff\xfes\0", "1:1: byte 0xff is not UTF-8 text. Save the file as UTF-8."),
        (b"a: \0", "1:4: a NUL byte: this is a binary file or UTF-16. Save the file as UTF-8 text."),
        ("a: b\nc: \x1b[31m", "2:4: character '\\x1b' is not allowed in YAML. Remove it."),
        ("a: 1\na: 2\na: 3", "2:1: a: given twice, first at line 1, column 1. Remove one.\n"
         "3:1: a: given twice, first at line 1, column 1. Remove one."),
        ("s:\n  {a: 1, 'a': 2}", "2:10: s.a: given twice, first at line 2, column 4. Remove one."),
        ("a: !!python/object/apply:os.system [x]", "1:4: a: tag 'tag:yaml.org,2002:python/object/apply:os.system' is "
         "not allowed: a config is plain data. Remove the tag."),
        ("a: !mine 1", "1:4: a: tag '!mine' is not allowed: a config is plain data. Remove the tag."),
        ("!!map {a: 1}", "1:1: tag 'tag:yaml.org,2002:map' is not allowed: a config is plain data. Remove the tag."),
        ("a: &x {b: 1}\nc:\n  <<: *x", "3:3: c: merge keys ('<<') are not supported. Write the settings out."),
        ("a: 1\n---\nb: 2", "2:1: a second document starts here. A config is one document; remove the rest."),
        ("? [a]\n: b", "1:3: a key must be a plain name."),
        ("a: *b", "1:4: a: alias '*b' has no anchor before it. Write the value out."),
        ("a: &a [1, *a]", "1:11: a[1]: alias '*a' stands inside the value it repeats. Write the value out."),
        ("a: {b: [1, 2}", "1:13: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '}'."),
        ("a:\n\tb: 1",
         "2:1: not valid YAML: while scanning for the next token, found character '\\t' that cannot start "
         "any token. Indent with spaces, not with tabs."),
        ("a: 'x", "1:6: not valid YAML: while scanning a quoted scalar, found unexpected end of stream."),
        ('a: "\\U00110000"', "1:7: not valid YAML: a number or an escaped character is out of range."),
        ("%YAML 1." + "9" * 5000 + "\n--- {}",
         "1:9: not valid YAML: a number or an escaped character is out of range."),
        ('a: "\\ud800"', "1:4: a: text with '\\ud800', which is half of a character. Remove it."),
        ('{a: 1, "\\udfff": 2}', "1:8: '': text with '\\udfff', which is half of a character. Remove it."),
        ("a: " + "9" * 101, "1:4: a: a number of 101 characters; write 100 at most."),
    ],
)  # fmt: skip
def test_complaints_name_line_and_column(tmp_path: Path, content: str | bytes, complaint: str) -> None:
    assert _complaints(tmp_path, content) == complaint


DEEP = "nested deeper than 20 levels; a config needs three."
MANY = "more than 5000 values, counting what aliases repeat; a config has a few dozen."


def _alias_bomb() -> str:
    names = "abcdefghijklmnop"
    levels = (f"{name}: &{name} [{', '.join(['*' + before] * 10)}]" for before, name in itertools.pairwise(names))
    return "\n".join(["a: &a [x, x, x, x, x, x, x, x, x, x]", *levels])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param("[" * 100_000, f"1:22: {DEEP}", id="flow lists"),
        pytest.param("{" * 100_000, f"1:22: {DEEP}", id="flow mappings"),
        pytest.param("[\n" * 100_000, f"22:1: {DEEP}", id="flow lists on lines"),
        pytest.param("- " * 100_000, f"1:43: {DEEP}", id="block lists"),
        pytest.param("? " * 100_000, f"1:43: {DEEP}", id="complex keys"),
        pytest.param("".join(" " * i + "a:\n" for i in range(600)), f"21:21: {DEEP}", id="block mappings"),
        pytest.param(_alias_bomb(), f"4:20: {MANY}", id="alias bomb"),  # 1,239 values, then 1,111 for each *c
        pytest.param("a: [" + "1," * 100_000 + "]", f"1:9999: {MANY}", id="many values"),  # with root, key, list
        pytest.param("x" * (MAX_BYTES + 1), " larger than 262144 bytes; a config has about 1,000. Is this the right "
                     "file?", id="too large"),
    ],
)  # fmt: skip
def test_bombs_are_refused_quickly(tmp_path: Path, content: str, complaint: str) -> None:
    before_kib, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert _complaints(tmp_path, content) == complaint
    assert time.process_time() - start < 1  # seconds of this process
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200 * 1024


def test_an_endless_device_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero: larger than"):
        read_config_file("/dev/zero")


def _folder(folder: Path) -> Path:
    (folder / "c.yaml").mkdir()
    return folder / "c.yaml"


def _misspelt(folder: Path) -> Path:
    (folder / "xavier.yaml").touch()
    (folder / "xaver.txt").touch()
    return folder / "xaver.yaml"


def _looping(folder: Path) -> Path:
    (folder / "c.yaml").symlink_to("c.yaml")
    return folder / "c.yaml"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (_folder, "this is a folder. Name a YAML file in it."),
        (_misspelt, "no such file. Did you mean 'xavier.yaml'?"),
        (lambda folder: folder / "c.yaml", "no such file."),
        (lambda folder: folder / "x" / "c.yaml", "no such file: the folder "),
        (lambda folder: folder / "c\0.yaml", "cannot be read: embedded null byte."),
        (lambda folder: folder / ("c" * 300), "cannot be read: File name too long."),
        (_looping, "cannot be read: Too many levels of symbolic links."),
    ],
)
def test_a_file_that_cannot_be_opened(tmp_path: Path, make: Callable[[Path], Path], complaint: str) -> None:
    path = make(tmp_path)
    with pytest.raises(ConfigError) as caught:
        read_config_file(path)
    shown = str(path).replace("\0", "\\x00")
    assert str(caught.value).startswith(f"{shown}: {complaint}")
    assert str(caught.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_no_permission(tmp_path: Path) -> None:
    path = _written(tmp_path, "seed: 1")
    path.chmod(0)
    with pytest.raises(ConfigError, match="no permission to read this file"):
        read_config_file(path)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (1.0, "1.0"),
        (float("nan"), "nan"),
        ("\x1b[31m\n\u202e", r"'\x1b[31m\n\u202e'"),
        ("x" * 100, f"'{'x' * 60}...'"),
        ([1, [2], {}, {"a": 1}], "[1, [...], {}, {...}]"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, ...]"),
        (1 << 300, "an integer of 301 bits"),
        (Path(), f"a {type(Path()).__name__}"),
    ],
)
def test_values_are_shown_short_and_escaped(value: object, shown: str) -> None:
    assert show(value) == shown


def test_paths_are_shown_as_they_are_written() -> None:
    assert show_path(("model", "hidden", 1)) == "model.hidden[1]"
    assert show_path(("train", "\x1b[31m")) == r"train.'\x1b[31m'"
