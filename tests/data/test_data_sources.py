"""Hashes, addresses and folders: torchvision's own table, https only, and each platform's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from initbench.data import datasets
from initbench.data.idx_family import IdxFamily
from initbench.data.mirrors import mirrors
from initbench.data.roots import cache_dir
from initbench.data.transport import is_safe

FAMILY = ["mnist", "fashion_mnist", "kmnist"]


def member(name: str) -> IdxFamily:
    source = datasets[name]
    assert isinstance(source, IdxFamily)
    return source


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.xdist_group("torchvision")  # its import takes seconds: in one process only
def test_archives_and_hashes_are_torchvisions(name: str) -> None:
    import torchvision

    theirs = getattr(torchvision.datasets, member(name).torchvision_name)
    assert [(file.archive, file.md5) for file in member(name).files] == list(theirs.resources)
    assert len(theirs.classes) == member(name).classes
    folder = Path(theirs.__new__(theirs).__class__.__name__, "raw")
    assert member(name).folder(Path("root")) == "root" / folder


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.xdist_group("torchvision")  # its import takes seconds: in one process only
def test_mirrors_are_torchvisions_over_https(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.delenv("INITBENCH_MIRROR")
    source = member(name)
    found = mirrors(source.torchvision_name, source.extra_mirrors)
    assert found
    assert all(url.startswith("https://") and url.endswith("/") and "s3-website" not in url for url in found)
    theirs = getattr(torchvision.datasets, source.torchvision_name).mirrors
    expected = [url.replace("http://", "https://") for url in theirs if "s3-website" not in url]
    assert found == [*expected, *source.extra_mirrors]


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://example.org/x", True),
        ("http://example.org/x", False),
        ("http://127.0.0.1:8000/x", True),
        ("http://127.9.9.9/x", True),
        ("http://[::1]:8000/x", True),
        ("http://localhost/x", True),
        ("http://localhost.example.org/x", False),
        ("http://127.0.0.1@example.org/x", False),
        ("http://0.0.0.0/x", False),
        ("file:///etc/passwd", False),
        ("ftp://127.0.0.1/x", False),
        ("https:///x", False),
        ("http://[::1/x", False),
        ("", False),
    ],
)
def test_https_only_but_for_this_machine(url: str, safe: bool) -> None:
    assert is_safe(url) is safe


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/initbench"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/u/.cache/initbench"),
        ("linux", {}, "/home/u/.cache/initbench"),
        ("darwin", {}, "/home/u/Library/Caches/initbench"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/initbench/Cache"),
        ("win32", {}, "/home/u/AppData/Local/initbench/Cache"),
    ],
)
def test_cache_is_where_the_platform_keeps_caches(
    platform: str, environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/u"))
    assert cache_dir(platform, environ) == Path(expected)


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_dir("linux", {}) is None
