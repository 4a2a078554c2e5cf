"""A file is written whole or not at all, and what a killed process left is swept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from initbench.atomic import STALE_S, write_atomically


def test_it_is_written_and_replaced(tmp_path: Path) -> None:
    for content in ("one ²", b"\x00two"):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("at", ["os.fsync", "pathlib.Path.replace"])
def test_where_writing_fails_the_file_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    write_atomically(tmp_path / "file", "before")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(at, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", "after")
    assert (tmp_path / "file").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_left_of_earlier_attempts_is_swept_and_nothing_else(tmp_path: Path) -> None:
    stale, fresh = ".file.abcd_123", ".file.0123abcd"
    others = [fresh, ".file.abcd_1234", "file.abcd_123", ".file2.abcd_123", ".file.ABCD_123"]
    for name in (stale, *others):
        (tmp_path / name).touch()
        long_ago = time.time() - STALE_S - 60
        os.utime(tmp_path / name, None if name == fresh else (long_ago, long_ago))
    write_atomically(tmp_path / "file", "content")
    assert {path.name for path in tmp_path.iterdir()} == {"file", *others}
