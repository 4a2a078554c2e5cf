"""The checksums of a folder's files, as coreutils writes them: `sha256sum -c SHA256SUMS` checks them, too."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Container, Mapping

CHECKSUMS = "SHA256SUMS"  # the name of the file; it has no line of its own
_LINE = re.compile(rb"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_UNESCAPED = {escaped: plain for plain, escaped in _ESCAPES.items()}


def checksums(files: Mapping[str, bytes]) -> bytes:
    r"""Return the content of SHA256SUMS for `files`, by their names: a line `<SHA-256>  <name>` each.

    As `sha256sum` writes it, the line of a name with a backslash or a line break, which is escaped, begins with \.
    """
    return b"".join(_line(name, content) for name, content in sorted(files.items()) if name != CHECKSUMS)


def _line(name: str, content: bytes) -> bytes:
    raw = os.fsencode(name)
    escaped = re.sub(rb"[\\\n\r]", lambda found: _ESCAPES[found[0]], raw)
    mark = b"\\" if escaped != raw else b""
    return mark + hashlib.sha256(content).hexdigest().encode() + b"  " + escaped + b"\n"


def parse_checksums(content: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file by its name; raises ValueError for a line that is none, and for a name twice."""
    found: dict[str, str] = {}
    if not content.endswith(b"\n"):
        raise ValueError("its last line is cut")
    for number, line in enumerate(content[:-1].split(b"\n"), 1):
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise ValueError(f"line {number} is no checksum")
        name = os.fsdecode(_unescape(matched[3]) if matched[1] else matched[3])
        if name in found:
            raise ValueError(f"line {number} names a file for the second time")
        found[name] = matched[2].decode()
    return found


def mismatch(files: Mapping[str, bytes], of: Container[str] | None = None) -> str:
    """Return what of `files`, by their names, is not as SHA256SUMS among them says; "" where all is, or that is not.

    With `of`, the other files are left out.
    """
    if CHECKSUMS not in files:
        return ""
    try:
        listed = parse_checksums(files[CHECKSUMS])
    except ValueError as error:
        return f"{CHECKSUMS}: {error}"
    for name, expected in sorted(listed.items()):
        if of is not None and name not in of:
            continue
        if name not in files:
            return f"{name} is missing"
        if hashlib.sha256(files[name]).hexdigest() != expected:
            return f"{name} has changed: its checksum is another one"
    return ""


def _unescape(name: bytes) -> bytes:
    return re.sub(rb"\\[\\nr]", lambda found: _UNESCAPED[found[0]], name)
