"""One process at a time has a run; what dead processes leave is swept, and what living ones have is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from store.test_store import ID, left_in, result

from initbench.errors import StoreError
from initbench.store import Store, claims
from initbench.store.claims import ASIDE, stay

OTHER = """
import sys
from pathlib import Path
from initbench.store.claims import stay

with stay(Path(sys.argv[1])) as here:
    for run_id in sys.argv[2:]:
        assert here.claim(run_id)
    (here.scratch / "half written").write_text("...")
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(root: Path, *run_ids: str) -> Iterator[subprocess.Popen[str]]:
    """A process that stays in the runs folder and has claimed these runs, until its stdin ends or it is killed."""
    command = [sys.executable, "-c", OTHER, str(root), *run_ids]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_run_is_claimed_once(tmp_path: Path) -> None:
    with stay(tmp_path) as one, stay(tmp_path) as other:
        assert one.claim("a" * 16)
        assert not other.claim("a" * 16)
        assert other.claim("b" * 16)
        one.release("a" * 16)
        assert other.claim("a" * 16)
    assert left_in(tmp_path) == []


def test_another_process_keeps_what_it_has_until_it_dies_however_it_does(tmp_path: Path) -> None:
    with other_process(tmp_path, "a" * 16) as other:
        with stay(tmp_path) as here:
            assert not here.claim("a" * 16)
            assert here.claim("b" * 16)
        left = left_in(tmp_path)
        assert f".claims/{'a' * 16}" in left
        assert len([name for name in left if name.startswith(".tmp/")]) == 2  # its folder and its lock
        other.kill()
        other.wait()
        with stay(tmp_path) as here:
            assert here.claim("a" * 16)
            assert len([name for name in left_in(tmp_path) if name.startswith(".tmp/")]) == 2  # its own two
    assert left_in(tmp_path) == []


def test_a_process_that_ends_by_itself_leaves_nothing(tmp_path: Path) -> None:
    with other_process(tmp_path, "a" * 16) as other:
        other.communicate("")
        assert other.returncode == 0
    assert left_in(tmp_path) == []


def test_an_error_within_a_stay_ends_it(tmp_path: Path) -> None:
    def interrupted() -> None:
        with stay(tmp_path) as here:
            here.claim("a" * 16)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert left_in(tmp_path) == []


def test_a_run_that_was_moved_aside_by_a_process_that_died_is_put_back(tmp_path: Path) -> None:
    """It dies between the two renames that put a new folder in place of an older one."""
    store = Store(tmp_path)
    folder = Path(store.keep(f"he-seed0-{ID}", result(), {}).run_dir or "")
    with other_process(tmp_path) as other:
        [scratch] = [path for path in (tmp_path / ".tmp").iterdir() if path.is_dir()]
        folder.rename(scratch / f"{ASIDE}{folder.name}")
        assert store.find(ID) is None
        other.kill()
        other.wait()
    with store.stay():
        assert store.find(ID) is not None
    assert left_in(tmp_path) == [folder.name]


def test_the_folder_of_a_process_that_lives_is_not_touched(tmp_path: Path) -> None:
    with other_process(tmp_path), stay(tmp_path):
        assert [path.read_text() for path in (tmp_path / ".tmp").glob("*/half written")] == ["..."]


@pytest.mark.parametrize("name", [".claims", ".tmp", ".unfinished"])
def test_hidden_folders_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    """A runs folder of another's making: sweeping would delete what is there."""
    precious = tmp_path / "precious" / ("0" * 32)
    precious.mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / name).symlink_to(precious.parent)
    (precious.parent / f"{precious.name}.lock").touch()
    with pytest.raises(StoreError, match="symbolic link"), stay(tmp_path / "runs"):
        pass
    assert precious.is_dir()


def test_what_is_not_ours_in_the_hidden_folders_stays(tmp_path: Path) -> None:
    with stay(tmp_path):
        pass
    (tmp_path / ".claims" / "notes.txt").write_text("mine")
    (tmp_path / ".tmp" / "notes.lock").write_text("mine")
    (tmp_path / ".tmp" / "folder").mkdir()
    with stay(tmp_path):
        pass
    assert left_in(tmp_path) == [".claims/notes.txt", ".tmp/folder", ".tmp/notes.lock"]


def test_an_older_folder_does_not_come_back_beside_the_new_one_under_another_name(tmp_path: Path) -> None:
    """A process that died after the new folder took its place, while it deleted the older one."""
    store = Store(tmp_path)
    new = Path(store.keep(f"mine-he-seed0-{ID}", result(), {}).run_dir or "")
    with other_process(tmp_path) as other:
        [scratch] = [path for path in (tmp_path / ".tmp").iterdir() if path.is_dir()]
        (scratch / f"{ASIDE}he-seed0-{ID}").mkdir()
        other.kill()
        other.wait()
    with store.stay():
        pass
    assert left_in(tmp_path) == [new.name]


def test_the_end_does_not_wait_for_a_process_that_has_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was stopped (SIGSTOP) in that moment; what is left then is swept later."""
    monkeypatch.setattr(claims, "PATIENCE_AT_END_S", 0.05)
    with stay(tmp_path) as here:
        assert here.claim(ID)
        turn = FileLock(tmp_path / ".lock")
        turn.acquire()
    turn.release()
    assert f".claims/{ID}" in left_in(tmp_path)
    with stay(tmp_path) as here:
        assert here.claim(ID)
    assert left_in(tmp_path) == []


def test_a_runs_folder_that_is_removed_meanwhile_is_one_clear_error(tmp_path: Path) -> None:
    import shutil

    store = Store(tmp_path / "runs")
    with store.stay() as here:
        shutil.rmtree(store.root)
        with pytest.raises(StoreError, match="It was removed while initbench was at work in it"):
            here.claim(ID)
        with pytest.raises(StoreError, match="It was removed while initbench was at work in it"):
            store.keep_all([(f"he-seed0-{ID}", result(), {})], here)
    assert not store.root.exists()
