"""The runs folder: one folder per finished run, content-addressed, written whole or not at all.

    runs/xavier_uniform-seed0-0f3c9a.../
        config.yaml          the resolved config
        identity.json        what determines the run's numbers; its hash is the run's id
        environment.json     versions, processor, git state
        metrics.jsonl        a row per epoch, of the pre-training where there is one, and of the training; and the
                             signals where train.signals asks for them
        weights.safetensors  the final weights; of a failed run traceback.txt instead
        result.json          the RunResult; what `runs list` and a later `compare` read
        SHA256SUMS           the checksums of the other files: `sha256sum -c SHA256SUMS`

A run is written into a hidden folder and renamed when it is complete, so that a folder without a leading dot is whole.
What is unfinished, claimed or being written is in hidden folders beside: unfinished.py, claims.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from initbench.checksums import CHECKSUMS, checksums
from initbench.errors import StoreError
from initbench.results import RunResult, SignalRow, UnfinishedTask
from initbench.store.claims import ASIDE, RUN_ID, Stay, stay
from initbench.store.disk import disk_errors, flush_folder, write_flushed
from initbench.store.reading import Broken, read_run, read_signals
from initbench.store.unfinished import Unfinished, unfinished_tasks

LONGEST_LABEL = 150  # characters: names of files have 255, and a seed, an id and a suffix come after it
SHORTEST_ID = 4  # digits of an id that name a run


def folder_name(label: str, seed: int, run_id: str) -> str:
    """Return the name of a run's folder; characters outside of [A-Za-z0-9._+] become '-', a long label is cut."""
    slug = re.sub(r"[^A-Za-z0-9._+]+", "-", label)[:LONGEST_LABEL].strip("-.")
    return f"{slug or 'run'}-seed{seed}-{run_id}"


class Store:
    """The runs under one root folder. Raises StoreError, never OSError, where the disk does not do its part."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, run_id: str) -> RunResult | None:
        """Return the run with this id, if it is there, readable, and did not fail."""
        read = map(read_run, self.folders(run_id))
        return next((run for run in read if isinstance(run, RunResult) and run.status != "failed"), None)

    def find_all(self, run_ids: Iterable[str]) -> dict[str, RunResult]:
        """Return those of the runs with these ids that are there, readable, and did not fail."""
        found = self.read_all(run_ids)
        return {id_: run for id_, run in found.items() if isinstance(run, RunResult) and run.status != "failed"}

    def read_all(self, run_ids: Iterable[str]) -> dict[str, RunResult | Broken]:
        """Return those of the runs with these ids that are there, whatever became of them."""
        wanted = set(run_ids)
        return {path.name[-16:]: read_run(path) for path in self._named(lambda name: name[-16:] in wanted)}

    def runs(self) -> Iterator[RunResult | Broken]:
        """Yield every run, in the order of the folders' names; unreadable and renamed ones as Broken."""
        for path in self._named(lambda name: not name.startswith(".")):
            yield read_run(path)
        for path in sorted(self.root.glob("[!.]*")) if self.root.exists() else ():
            if not _looks_like_run(path) and (path / "result.json").is_file():
                yield Broken(path, "its name is not one of a run: was the folder renamed?")

    def match(self, text: str) -> list[RunResult | Broken]:
        """Return the runs whose folder is called `text` or whose id starts with it."""
        is_id = re.fullmatch(f"[0-9a-f]{{{SHORTEST_ID},16}}", text) is not None
        return [
            read_run(path)
            for path in self.folders()
            if path.name == text or (is_id and path.name[-16:].startswith(text))
        ]

    def signals(self, run: RunResult | Path) -> list[SignalRow]:
        """Return the signals that were recorded while a run (its result or its folder) was trained, epoch by epoch.

        Raises StoreError for a run without a folder, and where its metrics.jsonl cannot be read.
        """
        folder = run if isinstance(run, Path) else Path(run.run_dir) if run.run_dir else None
        if folder is None:
            raise StoreError("this run was not stored, and its signals are kept on the disk only. Give it a runs_dir.")
        return read_signals(folder)

    def remove(self, path: Path) -> None:
        """Delete the folder of one run; raises StoreError where it is not a run's folder of this store."""
        if path.resolve().parent != self.root.resolve() or not _looks_like_run(path):
            raise StoreError(f"{path} is not the folder of a run in {self.root}; nothing was removed.")
        with self.stay() as during, disk_errors(self.root), during.turn():
            path.rename(during.scratch / path.name)  # from there it is deleted, by this process or a later one

    @contextmanager
    def stay(self) -> Iterator[Stay]:
        """Stay in the folder, which is made if need be; raises StoreError where it cannot be written."""
        with stay(self.root) as during:
            for name in set(unfinished_tasks(self.root)) - set(self.unfinished()):
                during.unfinished.remove(name)  # finished, but its process did not live to remove it
            yield during

    def unfinished(self) -> dict[str, UnfinishedTask]:
        """Return what is unfinished, by the names of the tasks; not what is finished in the meantime."""
        tasks = unfinished_tasks(self.root)
        finished = self.find_all(run.run_id for task in tasks.values() for run in task.runs) if tasks else {}
        return {name: task for name, task in tasks.items() if any(run.run_id not in finished for run in task.runs)}

    def match_unfinished(self, text: str) -> str | None:
        """Return the name of the one unfinished task with a run whose id starts with `text`, if there is one."""
        tasks = unfinished_tasks(self.root) if len(text) >= SHORTEST_ID else {}
        names = [name for name, task in tasks.items() if any(run.run_id.startswith(text) for run in task.runs)]
        return names[0] if len(names) == 1 else None

    def remove_unfinished(self, name: str) -> None:
        """Forget an unfinished task."""
        Unfinished(self.root, self.root).remove(name)

    def keep(self, name: str, result: RunResult, files: Mapping[str, bytes]) -> RunResult:
        """Write the folder `name` of one run, whole or not at all, and return the result with its place.

        Folders of the same run that are there already, whatever their name, give way to the new one; but a failed run
        is not kept where one is that did not fail. Raises ValueError where the result holds NaN or infinity, which JSON
        does not have.
        """
        with self.stay() as during:
            [kept] = self.keep_all([(name, result, files)], during)
            return kept

    def keep_all(self, runs: Sequence[tuple[str, RunResult, Mapping[str, bytes]]], during: Stay) -> list[RunResult]:
        """Keep several runs, as `keep` does: all are written before the first takes its place."""
        placed = [self._placed(name, result) for name, result, _ in runs]
        with disk_errors(self.root), ExitStack() as cleaning:
            written = []
            for (name, _, files), result in zip(runs, placed, strict=True):
                if result.run_dir is None:
                    continue
                folder = during.scratch / name
                cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
                _write(folder, files, result)
                written.append((folder, result.run_id))
            with during.turn():
                for folder, run_id in written:
                    self._put_in_place(folder, run_id, during)
                flush_folder(during.root)
        return placed

    def _placed(self, name: str, result: RunResult) -> RunResult:
        """Return the result with its place; without one where it is not to be kept."""
        keep = result.status != "failed" or self.find(result.run_id) is None
        return result.model_copy(update={"run_dir": str(self.root / name) if keep else None})

    def _put_in_place(self, written: Path, run_id: str, during: Stay) -> None:
        """Rename the folder; where this process dies between the renames, a later one puts the older folder back."""
        aside: list[tuple[Path, Path]] = []
        try:
            for older in self.folders(run_id):
                place = during.root / older.name
                aside.append((place, during.scratch / f"{ASIDE}{older.name}"))
                place.rename(aside[-1][1])
            written.rename(during.root / written.name)
        except BaseException:
            for place, moved in aside:
                if moved.exists():
                    moved.rename(place)
            raise
        for _, moved in aside:
            shutil.rmtree(moved, ignore_errors=True)

    def folders(self, run_id: str = "") -> list[Path]:
        """Return the folders of runs, or of one run."""
        return self._named(lambda name: name.endswith(run_id))

    def _named(self, wanted: Callable[[str], bool]) -> list[Path]:
        """Return the folders of runs with these names: by their names first, which asks the disk least."""
        with disk_errors(self.root):
            names = os.listdir(self.root) if self.root.exists() else []  # noqa: PTH208 # a path for each name costs more
            return sorted(filter(_looks_like_run, (self.root / name for name in names if wanted(name))))


def _write(folder: Path, files: Mapping[str, bytes], result: RunResult) -> None:
    """Write the folder of one run, flushed file by file."""
    text = json.dumps(result.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"
    contents = {**files, "result.json": text.encode()}
    folder.mkdir()
    for file, content in {**contents, CHECKSUMS: checksums(contents)}.items():
        write_flushed(folder / file, content)


def _looks_like_run(path: Path) -> bool:
    return not path.name.startswith(".") and bool(RUN_ID.fullmatch(path.name[-16:])) and path.is_dir()
