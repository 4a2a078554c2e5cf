"""Where datasets are looked for and where downloads go: --data-dir, INITBENCH_DATA, the user's cache, in this order."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from initbench.data.dataset import Notify, ignore
from initbench.errors import DataError

ENV_ROOT = "INITBENCH_DATA"
ANY_WRITE_BIT = 0o222


@dataclass(frozen=True)
class Places:
    """The folders to read from, in order, and the one that downloads go to; all with torchvision's layout."""

    roots: tuple[Path, ...]
    download: Path | None  # None: neither a writable data_dir nor a cache folder


def places(data_dir: Path | None, notify: Notify = ignore) -> Places:
    """Return where to look and where to download to; raises DataError where `data_dir` is not a folder."""
    cache = cache_dir()
    roots = [*_given(data_dir), *_from_environment(notify), *([cache] if cache else [])]
    download = data_dir if data_dir is not None and is_writable(data_dir) else cache
    return Places(tuple(dict.fromkeys(roots)), download)


def _given(data_dir: Path | None) -> list[Path]:
    if data_dir is None:
        return []
    if not _is_folder(data_dir):
        found = "is a file, not a folder" if data_dir.is_file() else "does not exist or may not be read"
        raise DataError(
            f"data folder '{data_dir}' {found}. Name an existing folder that has, or shall get, MNIST/raw inside, "
            f"or leave it out to search {ENV_ROOT}, the cache and the network."
        )
    return [data_dir]


def _from_environment(notify: Notify) -> list[Path]:
    value = os.environ.get(ENV_ROOT, "")
    if not value:
        return []
    root = Path(value).expanduser()
    if not _is_folder(root):
        notify(f"{ENV_ROOT}='{value}' is not an existing folder; it is passed over.")
        return []
    return [root]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def cache_dir(platform: str = sys.platform, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return initbench's folder in the user's cache, None for a user without a home.

    Source: XDG Base Directory Specification 0.8 (a relative XDG_CACHE_HOME is ignored); Apple's and Microsoft's
    own places for caches elsewhere.
    """
    xdg = environ.get("XDG_CACHE_HOME", "")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / "initbench"
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the user database
        return None
    if platform == "darwin":
        return home / "Library" / "Caches" / "initbench"
    if platform == "win32":
        local = environ.get("LOCALAPPDATA", "")
        return (Path(local) if local else home / "AppData" / "Local") / "initbench" / "Cache"
    return home / ".cache" / "initbench"


def is_writable(folder: Path) -> bool:
    """Say whether files may be made in `folder`, or in its nearest existing parent where it is yet to be made.

    A folder without any write bit is taken as read-only for root too, whom the system would let write there.
    """
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        writable = nearest.is_dir() and bool(nearest.stat().st_mode & ANY_WRITE_BIT)
    except (StopIteration, OSError):  # a parent that may not be searched
        return False
    return writable and os.access(nearest, os.W_OK | os.X_OK)
